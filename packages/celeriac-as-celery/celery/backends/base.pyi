# Made by scripts/celery_stubs.py.
from celeriac.compat.backends import *
from celeriac.serialization.failures import UnpickleableExceptionWrapper as UnpickleableExceptionWrapper
