# Made by scripts/celery_stubs.py.
from celeriac.cli.worker import worker as worker
