"""What one run of an entry is called: the same whoever sends it, and however often.  Pure."""

from __future__ import annotations

import uuid
from typing import Final

from celeriac.message import Once

__all__ = ["once_of", "task_id_of"]

_NAMESPACE: Final = uuid.UUID("6f0d9e0c-3b54-4b1e-9c53-1f3a0d1c7a10")
#: The upper part of a token names the store it is from.
_EPOCH_BITS: Final = 20


def task_id_of(name: str, number: int, due: float) -> str:
    """The id of one run."""
    return str(uuid.uuid5(_NAMESPACE, f"{name}\0{number}\0{due!r}"))


def once_of(app_name: str, token: int, name: str, run_id: str) -> Once:
    """What has a broker take one run once.

    A store that was lost and made anew counts its tokens from elsewhere, so that what brokers remember of the old one
    is of no matter.

    Args:
        app_name: Name of the application.
        token: The leader's fencing token.
        name: Name of the entry.
        run_id: From `task_id_of`.
    """
    return Once(f"{app_name[:200]}:{token >> _EPOCH_BITS}", token, _short(name), run_id)


def _short(name: str) -> str:
    """A name that databases take as a key, and that tells entries apart."""
    return name if len(name) <= 200 else f"{name[:160]}:{uuid.uuid5(_NAMESPACE, name)}"
