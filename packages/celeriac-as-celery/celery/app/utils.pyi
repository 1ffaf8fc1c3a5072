# Made by scripts/celery_stubs.py.
from celeriac.config import Settings as Settings
from celeriac.compat.state import appstr as appstr
from celeriac.app.base import bugreport as bugreport
from celeriac.cli.find_app import find_app as find_app
from celeriac.utils.url import redact as _sanitize_url
sanitize_url = _sanitize_url
