# Made by scripts/celery_stubs.py.
from celeriac.cli.beat import beat as beat
