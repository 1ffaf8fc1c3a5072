# Made by scripts/celery_stubs.py.
from celeriac.utils.graph import *
from celeriac.utils.graph import DOTFormatter as _DOT
DOT = _DOT
