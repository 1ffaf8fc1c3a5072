# Made by scripts/celery_stubs.py.
from celeriac.app.loaders import Loader as Loader
