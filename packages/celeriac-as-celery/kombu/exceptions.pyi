# Made by scripts/celery_stubs.py.
from celeriac.exceptions import OperationalError as _ChannelError
from celeriac.exceptions import OperationalError as _ConnectionError
from celeriac.exceptions import ContentDisallowed as ContentDisallowed
from celeriac.exceptions import DecodeError as DecodeError
from celeriac.exceptions import EncodeError as EncodeError
from celeriac.exceptions import CeleryError as _KombuError
from celeriac.exceptions import OperationalError as _LimitExceeded
from celeriac.messaging.message import MessageStateError as MessageStateError
from celeriac.exceptions import OperationalError as OperationalError
from celeriac.exceptions import SerializationError as SerializationError
from celeriac.exceptions import ImproperlyConfigured as _SerializerNotInstalled
from builtins import TimeoutError as TimeoutError
ChannelError = _ChannelError
ConnectionError = _ConnectionError
KombuError = _KombuError
LimitExceeded = _LimitExceeded
SerializerNotInstalled = _SerializerNotInstalled
