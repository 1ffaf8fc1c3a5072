# Made by scripts/celery_stubs.py.
from celeriac.events.snapshot import *
