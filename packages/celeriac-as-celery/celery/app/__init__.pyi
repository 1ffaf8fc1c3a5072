# Made by scripts/celery_stubs.py.
from celeriac.app.base import Celery as Celery
from celeriac.compat.state import app_or_default as app_or_default
from celeriac.app.base import bugreport as bugreport
from celeriac.app.shared import current_app as current_app
from celeriac.app.shared import current_task as current_task
from celeriac.compat.state import default_app as default_app
from celeriac.compat.state import disable_trace as disable_trace
from celeriac.compat.state import enable_trace as enable_trace
from celeriac.compat.state import pop_current_task as pop_current_task
from celeriac.compat.state import push_current_task as push_current_task
from celeriac.app.shared import shared_task as shared_task
