# Made by scripts/celery_stubs.py.
from celeriac.fixups.django import *
