# Made by scripts/celery_stubs.py.
from celeriac.serialization.failures import UnpickleableExceptionWrapper as UnpickleableExceptionWrapper
