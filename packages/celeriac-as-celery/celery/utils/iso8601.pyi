# Made by scripts/celery_stubs.py.
from celeriac.utils.time import parse_iso8601 as parse_iso8601
