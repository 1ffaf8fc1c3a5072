# Made by scripts/celery_stubs.py.
from celeriac.compat.kombu.connection import BrokerConnection as BrokerConnection
from celeriac.compat.kombu.connection import Connection as Connection
from celeriac.messaging.consumer import Consumer as Consumer
from celeriac.broker.topology import Exchange as Exchange
from celeriac.messaging.message import Message as Message
from celeriac.messaging.producer import Producer as Producer
from celeriac.broker.topology import Queue as Queue
from celeriac.compat.version import KOMBU_VERSION as _VERSION
from celeriac.compat.version import KOMBU as _version
from celeriac.broker.topology import binding as binding
from celeriac.compat.kombu.pools import connections as connections
from celeriac.compat.kombu.serialization import disable_insecure_serializers as disable_insecure_serializers
from celeriac.compat.kombu.serialization import enable_insecure_serializers as enable_insecure_serializers
from celeriac.utils.url import parse_url as parse_url
from celeriac.compat.kombu.pools import producers as producers
from celeriac.utils.uuid import uuid4 as _uuid
VERSION = _VERSION
__version__ = _version
uuid = _uuid
