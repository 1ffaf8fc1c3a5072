# Made by scripts/celery_stubs.py.
from celeriac.broker.topology import Broadcast as Broadcast
from celeriac.compat.kombu.common import maybe_declare as maybe_declare
from celeriac.utils.uuid import uuid4 as _uuid
uuid = _uuid
