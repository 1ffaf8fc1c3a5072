# Made by scripts/celery_stubs.py.
from celeriac.cli.admin import list_ as list_
