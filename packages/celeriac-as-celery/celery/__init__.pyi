# Made by scripts/celery_stubs.py.
from celeriac.app.base import Celery as Celery
from celeriac.compat.version import SERIES as SERIES
from celeriac.canvas import Signature as Signature
from celeriac.canvas import StampingVisitor as StampingVisitor
from celeriac.app.task import Task as Task
from celeriac.compat.version import VERSION as VERSION
from celeriac.compat.version import VERSION_BANNER as VERSION_BANNER
from celeriac.compat.version import CELERY as _version
from celeriac.app.base import bugreport as bugreport
from celeriac.canvas import chain as chain
from celeriac.canvas import chord as chord
from celeriac.canvas import chunks as chunks
from celeriac.app.shared import current_app as current_app
from celeriac.app.shared import current_task as current_task
from celeriac.canvas import group as group
from celeriac.compat.version import maybe_patch_concurrency as maybe_patch_concurrency
from celeriac.canvas import maybe_signature as maybe_signature
from celeriac.app.shared import shared_task as shared_task
from celeriac.canvas import signature as signature
from celeriac.canvas import subtask as subtask
from celeriac.utils.uuid import uuid4 as _uuid
from celeriac.compat.version import version_info as version_info
from celeriac.compat.version import version_info_t as version_info_t
from celeriac.canvas import xmap as xmap
from celeriac.canvas import xstarmap as xstarmap
__version__ = _version
uuid = _uuid
