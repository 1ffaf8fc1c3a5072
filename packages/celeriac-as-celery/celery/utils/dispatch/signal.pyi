# Made by scripts/celery_stubs.py.
from celeriac.signals import Signal as Signal
