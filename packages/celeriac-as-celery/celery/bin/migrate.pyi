# Made by scripts/celery_stubs.py.
from celeriac.cli.migrate import migrate as migrate
