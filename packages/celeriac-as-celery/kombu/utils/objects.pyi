# Made by scripts/celery_stubs.py.
from celeriac.compat.utils.objects import cached_property as cached_property
