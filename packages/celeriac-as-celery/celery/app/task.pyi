# Made by scripts/celery_stubs.py.
from celeriac.current import Context as Context
from celeriac.app.task import Task as Task
