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
_SECRET: Final = r"(?i)API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI"  # noqa: S105 - a pattern
_BROKER_URL: Final = r"(?i)broker_.*url$"
#: `scheme://user:password@`; the password reaches to the last `@` before the path, so it may have a raw `@`.
_CREDENTIALS: Final = r"(?P<before>://[^:@/?#;\s]*:)[^/?#;\s]*(?=@)"
#: The same where a raw `/`, `?` or `#` in the password hides where the host begins.
_ODD_CREDENTIALS: Final = r"(?P<before>://[^:@/?#;\s]*:)(?!\d+[/?#])[^;\s]*(?=@)"
_QUERY: Final = r"(?i)(?P<before>[?&][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;\s#]+"


def mask_url(text: str) -> str:
    """Return `text`, one URL or several joined by ``;``, with its passwords replaced."""
    return ";".join(map(_mask_one, text.split(";")))


def _mask_one(url: str) -> str:
    masked, count = re.subn(_CREDENTIALS, rf"\g<before>{MASK}", url)
    if not count:
        masked = re.sub(_ODD_CREDENTIALS, rf"\g<before>{MASK}", url)
    return re.sub(_QUERY, rf"\g<before>{MASK}", masked)


def censor(key: str, value: Any) -> Any:
    """Return `value` of the setting `key` in a form that may be shown.

    A mapping is searched, name by name; any other value under a secret name is replaced; broker URLs and
    everything of a result backend lose their passwords.
    """
    if isinstance(value, Mapping):
        return {name: censor(str(name), item) for name, item in value.items()}
    if re.search(_SECRET, key):
        return MASK
    if "backend" in key.lower() or re.search(_BROKER_URL, key):
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
