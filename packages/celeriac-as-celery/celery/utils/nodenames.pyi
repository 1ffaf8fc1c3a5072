# Made by scripts/celery_stubs.py.
from celeriac.utils.nodenames import *
from celeriac.app.queues import worker_direct as worker_direct
