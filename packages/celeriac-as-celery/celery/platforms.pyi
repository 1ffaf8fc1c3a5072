# Made by scripts/celery_stubs.py.
from celeriac.compat.platforms import *
from celeriac.cli.errors import EX_FAILURE as EX_FAILURE
from celeriac.cli.errors import EX_OK as EX_OK
from celeriac.cli.errors import EX_UNAVAILABLE as EX_UNAVAILABLE
from celeriac.cli.errors import EX_USAGE as EX_USAGE
