# Made by scripts/celery_stubs.py.
from celeriac.compat.state import tasks as tasks
