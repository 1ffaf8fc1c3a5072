# Made by scripts/celery_stubs.py.
from celeriac.serialization.compression import *
