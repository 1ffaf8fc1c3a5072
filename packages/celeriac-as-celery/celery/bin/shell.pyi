# Made by scripts/celery_stubs.py.
from celeriac.cli.shell import shell as shell
