# Made by scripts/celery_stubs.py.
from celeriac.utils.clock import LamportClock as LamportClock
