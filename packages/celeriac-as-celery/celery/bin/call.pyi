# Made by scripts/celery_stubs.py.
from celeriac.cli.admin import call as call
