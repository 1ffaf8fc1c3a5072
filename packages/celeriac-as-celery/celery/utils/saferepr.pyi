# Made by scripts/celery_stubs.py.
from celeriac.utils.saferepr import *
