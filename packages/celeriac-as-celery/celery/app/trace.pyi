# Made by scripts/celery_stubs.py.
from celeriac.compat.tracing import *
