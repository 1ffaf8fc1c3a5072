# Made by scripts/celery_stubs.py.
from celeriac.utils.url import redact as _maybe_sanitize_url
from celeriac.utils.url import parse_url as parse_url
from celeriac.utils.url import redact as _sanitize_url
maybe_sanitize_url = _maybe_sanitize_url
sanitize_url = _sanitize_url
