# Made by scripts/celery_stubs.py.
from celeriac.compat.request import Request as Request
