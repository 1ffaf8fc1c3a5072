# Made by scripts/celery_stubs.py.
from celeriac.app.amqp import *
from celeriac.broker.topology import Exchange as Exchange
from celeriac.broker.topology import Queue as Queue
from celeriac.app.queues import Queues as Queues
