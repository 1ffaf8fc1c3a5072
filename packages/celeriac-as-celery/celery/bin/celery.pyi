# Made by scripts/celery_stubs.py.
from celeriac.cli.main import cli as _celery
from celeriac.cli.main import main as main
celery = _celery
