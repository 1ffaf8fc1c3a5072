"""Hiding passwords and keys in settings before they are shown.

Works by the names of settings and the shape of URLs; cannot recognise a secret under an innocent name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["MASK", "censor", "mask_url"]

MASK: Final = "********"

#: Celery's list of words that make a setting secret.
_SECRET: Final = re.compile(r"API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI", re.IGNORECASE)
_BROKER_URL: Final = re.compile(r"broker_.*url$", re.IGNORECASE)
#: `scheme://user:password@`; the password reaches to the last `@` before the path, so it may have a raw `@`.
_CREDENTIALS: Final = re.compile(r"(?P<before>://[^:@/?#;\s]*:)[^/?#;\s]*(?=@)")
#: The same where a raw `/`, `?` or `#` in the password hides where the host begins.
_ODD_CREDENTIALS: Final = re.compile(r"(?P<before>://[^:@/?#;\s]*:)(?!\d+[/?#])[^;\s]*(?=@)")
_QUERY: Final = re.compile(r"(?P<before>[?&][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;\s#]+", re.IGNORECASE)


def mask_url(text: str) -> str:
    """Return `text`, one URL or several joined by ``;``, with its passwords replaced."""
    return ";".join(map(_mask_one, text.split(";")))


def _mask_one(url: str) -> str:
    masked, count = _CREDENTIALS.subn(rf"\g<before>{MASK}", url)
    if not count:
        masked = _ODD_CREDENTIALS.sub(rf"\g<before>{MASK}", url)
    return _QUERY.sub(rf"\g<before>{MASK}", masked)


def censor(key: str, value: Any) -> Any:
    """Return `value` of the setting `key` in a form that may be shown.

    A mapping is searched, name by name; any other value under a secret name is replaced; broker URLs and
    everything of a result backend lose their passwords.
    """
    if isinstance(value, Mapping):
        return {name: censor(str(name), item) for name, item in value.items()}
    if _SECRET.search(key):
        return MASK
    if "backend" in key.lower() or _BROKER_URL.search(key):
        return _mask_all(value)
    if isinstance(value, (list, tuple)):
        return type(value)(censor(key, item) for item in value) if type(value) in {list, tuple} else value
    return value


def _mask_all(value: Any) -> Any:
    if isinstance(value, str):
        return mask_url(value)
    if type(value) in {list, tuple}:
        return type(value)(map(_mask_all, value))
    return value
