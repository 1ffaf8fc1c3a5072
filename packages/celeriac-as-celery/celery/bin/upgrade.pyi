# Made by scripts/celery_stubs.py.
from celeriac.cli.upgrade import upgrade as upgrade
