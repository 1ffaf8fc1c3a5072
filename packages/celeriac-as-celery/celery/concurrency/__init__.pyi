# Made by scripts/celery_stubs.py.
from celeriac.compat.state import get_available_pool_names as get_available_pool_names
