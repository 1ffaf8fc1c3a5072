# Made by scripts/celery_stubs.py.
from celeriac.compat.utils.log import LOG_LEVELS as LOG_LEVELS
from celeriac.compat.utils.objects import cached_property as cached_property
from celeriac.compat.utils.functional import chunks as chunks
from celeriac.utils.imports import gen_task_name as gen_task_name
from celeriac.utils.uuid import uuid4 as _gen_unique_id
from celeriac.utils.imports import symbol_by_name as _get_cls_by_name
from celeriac.utils.imports import qualname as _get_full_cls_name
from celeriac.utils.imports import import_from_cwd as import_from_cwd
from celeriac.utils.imports import instantiate as instantiate
from celeriac.compat.utils.functional import memoize as memoize
from celeriac.utils.nodenames import nodename as nodename
from celeriac.utils.nodenames import nodesplit as nodesplit
from celeriac.compat.utils.functional import noop as noop
from celeriac.utils.uuid import uuid4 as _uuid
from celeriac.app.queues import worker_direct as worker_direct
gen_unique_id = _gen_unique_id
get_cls_by_name = _get_cls_by_name
get_full_cls_name = _get_full_cls_name
uuid = _uuid
