# Made by scripts/celery_stubs.py.
from celeriac.contrib.testing.tasks import *
