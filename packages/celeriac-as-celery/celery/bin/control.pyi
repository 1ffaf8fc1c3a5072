# Made by scripts/celery_stubs.py.
from celeriac.cli.control import control as control
from celeriac.cli.control import inspect as inspect
from celeriac.cli.control import status as status
