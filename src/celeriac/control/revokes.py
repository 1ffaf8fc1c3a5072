"""What clients and workers agree on about revoked tasks: how many are remembered, for how long, and where."""

from __future__ import annotations

import json
from typing import Any

from celeriac.utils.environment import number

#: Topics of the broker's notices: ids of tasks; stamps, as JSON ``[name, value]``.
IDS, STAMPS = "revoked", "revoked-stamps"

_MAX_VARIABLE, _EXPIRES_VARIABLE = "CELERY_WORKER_REVOKES_MAX", "CELERY_WORKER_REVOKE_EXPIRES"
#: Revoked tasks remembered, and seconds: longer than almost any task waits in its queue.
_MAX, _EXPIRES = 50_000, 7 * 86400.0


def max_revokes() -> int:
    """How many revoked tasks are remembered (``CELERY_WORKER_REVOKES_MAX``)."""
    return int(number(_MAX_VARIABLE, _MAX))


def revoke_expires() -> float:
    """Seconds for which they are remembered (``CELERY_WORKER_REVOKE_EXPIRES``)."""
    return number(_EXPIRES_VARIABLE, _EXPIRES)


def stamps_of(headers: Any) -> list[tuple[str, str]]:
    """Pairs of a stamp and one of its values, of ``{name: value or list of values}`` or a list of ``name=value``.

    Raises:
        ValueError: An item of a list has no ``=``.
    """
    if not isinstance(headers, dict):
        found = []
        for item in headers:
            name, sign, value = str(item).partition("=")
            if not sign:
                raise ValueError(f"{item!r} is no stamp: write name=value")
            found.append((name, value))
        return found
    return [
        (str(name), str(value))
        for name, values in headers.items()
        for value in (values if isinstance(values, list | tuple | set | frozenset) else [values])
    ]


def pack_stamp(stamp: tuple[str, str]) -> str:
    """A stamp as a notice."""
    return json.dumps(stamp)


def unpack_stamp(text: str) -> tuple[str, str] | None:
    """A notice as a stamp; None if it is none."""
    try:
        name, value = json.loads(text)
    except (ValueError, TypeError):
        return None
    return str(name), str(value)
