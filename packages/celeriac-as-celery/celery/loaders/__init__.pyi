# Made by scripts/celery_stubs.py.
from celeriac.app.loaders import get_loader_cls as get_loader_cls
