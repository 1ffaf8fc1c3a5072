# Made by scripts/celery_stubs.py.
from celeriac.control import *
from celeriac.compat.state import flatten_reply as flatten_reply
