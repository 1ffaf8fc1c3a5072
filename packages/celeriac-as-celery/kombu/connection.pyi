# Made by scripts/celery_stubs.py.
from celeriac.compat.kombu.connection import BrokerConnection as BrokerConnection
from celeriac.compat.kombu.connection import Connection as Connection
