# Made by scripts/celery_stubs.py.
from celeriac.messaging.consumer import Consumer as Consumer
from celeriac.broker.topology import Exchange as Exchange
from celeriac.messaging.producer import Producer as Producer
from celeriac.broker.topology import Queue as Queue
from celeriac.broker.topology import binding as binding
