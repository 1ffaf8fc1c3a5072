# Made by scripts/celery_stubs.py.
from celeriac.app.routing import Router as Router
from celeriac.app.routing import compile_routes as _prepare
prepare = _prepare
