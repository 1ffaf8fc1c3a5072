# Made by scripts/celery_stubs.py.
from celeriac.app.annotations import MapAnnotation as MapAnnotation
from celeriac.app.annotations import compile_annotations as _prepare
prepare = _prepare
