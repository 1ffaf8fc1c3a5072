# Made by scripts/celery_stubs.py.
from celeriac.compat.billiard.einfo import *
from celeriac.serialization.einfo import ExceptionInfo as ExceptionInfo
