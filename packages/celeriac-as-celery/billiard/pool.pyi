# Made by scripts/celery_stubs.py.
from celeriac.compat.billiard.worker import Worker as Worker
