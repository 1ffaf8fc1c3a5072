# Made by scripts/celery_stubs.py.
from celeriac.compat.utils.log import *
