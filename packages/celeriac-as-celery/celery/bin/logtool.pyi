# Made by scripts/celery_stubs.py.
from celeriac.cli.logtool import logtool as logtool
