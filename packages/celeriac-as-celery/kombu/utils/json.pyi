# Made by scripts/celery_stubs.py.
from celeriac.compat.kombu.json import *
from celeriac.serialization import register_type as register_type
