# Made by scripts/celery_stubs.py.
from celeriac.app.loaders import AppLoader as AppLoader
