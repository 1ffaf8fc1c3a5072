# Made by scripts/celery_stubs.py.
from celeriac.states import *
