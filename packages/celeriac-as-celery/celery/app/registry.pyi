# Made by scripts/celery_stubs.py.
from celeriac.app.registry import *
