# Made by scripts/celery_stubs.py.
from celeriac.log import get_logger as get_logger
