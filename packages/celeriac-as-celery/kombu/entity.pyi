# Made by scripts/celery_stubs.py.
from celeriac.broker.topology import Exchange as Exchange
from celeriac.broker.topology import Queue as Queue
from celeriac.broker.topology import binding as binding
