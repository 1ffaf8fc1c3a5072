# Made by scripts/celery_stubs.py.
from celeriac.cli.admin import purge as purge
