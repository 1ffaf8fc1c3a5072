# Made by scripts/celery_stubs.py.
from celeriac.exceptions import SoftTimeLimitExceeded as SoftTimeLimitExceeded
from celeriac.exceptions import Terminated as Terminated
from celeriac.exceptions import TimeLimitExceeded as TimeLimitExceeded
from celeriac.exceptions import WorkerLostError as WorkerLostError
