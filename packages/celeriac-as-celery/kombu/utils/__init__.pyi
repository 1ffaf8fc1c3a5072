# Made by scripts/celery_stubs.py.
from celeriac.compat.utils.objects import cached_property as cached_property
from celeriac.compat.utils.functional import maybe_list as maybe_list
from celeriac.utils.imports import symbol_by_name as symbol_by_name
from celeriac.utils.uuid import uuid4 as _uuid
uuid = _uuid
