# Made by scripts/celery_stubs.py.
from celeriac.app.log import *
