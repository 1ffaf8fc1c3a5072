# Made by scripts/celery_stubs.py.
from celeriac.messaging.simple import *
