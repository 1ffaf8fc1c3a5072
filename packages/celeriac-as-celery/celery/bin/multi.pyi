# Made by scripts/celery_stubs.py.
from celeriac.cli.multi import multi as multi
