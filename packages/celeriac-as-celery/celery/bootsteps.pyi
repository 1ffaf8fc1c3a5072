# Made by scripts/celery_stubs.py.
from celeriac.bootsteps import *
