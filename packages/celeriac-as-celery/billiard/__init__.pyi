# Made by scripts/celery_stubs.py.
from celeriac.exceptions import SoftTimeLimitExceeded as SoftTimeLimitExceeded
from celeriac.exceptions import Terminated as Terminated
from celeriac.exceptions import TimeLimitExceeded as TimeLimitExceeded
from celeriac.compat.version import BILLIARD_VERSION as _VERSION
from celeriac.exceptions import WorkerLostError as WorkerLostError
from celeriac.compat.version import BILLIARD as _version
from multiprocessing import cpu_count as cpu_count
from multiprocessing import current_process as current_process
VERSION = _VERSION
__version__ = _version
