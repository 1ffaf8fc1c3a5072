# Made by scripts/celery_stubs.py.
from celeriac.contrib.pytest import *
