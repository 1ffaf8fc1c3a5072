# Made by scripts/celery_stubs.py.
from celeriac.cli.events import events as events
