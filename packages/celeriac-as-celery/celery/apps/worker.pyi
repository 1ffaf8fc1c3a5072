# Made by scripts/celery_stubs.py.
from celeriac.worker.assembly import Worker as Worker
