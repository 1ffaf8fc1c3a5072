# Made by scripts/celery_stubs.py.
from celeriac.app.loaders import BaseLoader as BaseLoader
