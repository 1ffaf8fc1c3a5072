# Made by scripts/celery_stubs.py.
from celeriac.worker.control import *
from celeriac.compat.panel import Panel as Panel
