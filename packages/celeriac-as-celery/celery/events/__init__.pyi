# Made by scripts/celery_stubs.py.
from celeriac.events import *
from celeriac.events.wire import Event as Event
from celeriac.compat.state import get_exchange as get_exchange
from celeriac.compat.state import group_from as group_from
