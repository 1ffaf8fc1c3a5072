# Made by scripts/celery_stubs.py.
from celeriac.utils.uuid import uuid4 as _uuid
uuid = _uuid
