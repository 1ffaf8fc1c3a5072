# Made by scripts/celery_stubs.py.
from celeriac.utils.imports import symbol_by_name as symbol_by_name
