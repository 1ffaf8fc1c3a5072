"""Which tasks must not run: ids and stamps, each until its time has passed.  Touched on the coordinator's loop only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.control.revokes import max_revokes, revoke_expires

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Names of stamps, and their values.
Stamp = tuple[str, str]


class RevokedTasks:
    """What was revoked.

    Attributes:
        ids: Ids of tasks by the Unix time until which they are remembered, oldest first.
        stamps: Pairs of a stamp and a value, likewise.
    """

    def __init__(self) -> None:
        self.ids: dict[str, float] = {}
        self.stamps: dict[Stamp, float] = {}
        self._limit, self._seconds = max_revokes(), revoke_expires()

    def add_ids(self, ids: Iterable[str], until: float | None = None) -> None:
        """Remember ids."""
        self._add(self.ids, ids, until)

    def add_stamps(self, stamps: Iterable[Stamp], until: float | None = None) -> None:
        """Remember stamps."""
        self._add(self.stamps, stamps, until)

    def _add(self, kept: dict[Any, float], keys: Iterable[Any], until: float | None) -> None:
        until = time.time() + self._seconds if until is None else until
        for key in keys:
            kept.pop(key, None)
            kept[key] = until
        while len(kept) > self._limit:
            del kept[next(iter(kept))]

    def covers(self, headers: dict[str, Any]) -> bool:
        """Whether the task of a message was revoked."""
        if self.ids and _holds(self.ids, headers.get("id")):
            return True
        return bool(self.stamps) and any(_holds(self.stamps, stamp) for stamp in message_stamps(headers))

    def listed(self) -> list[str]:
        """The ids that count, oldest first."""
        now = time.time()
        return [task_id for task_id, until in self.ids.items() if until > now]


def _holds(kept: dict[Any, float], key: Any) -> bool:
    until = kept.get(key)
    if until is None:
        return False
    if until <= time.time():
        del kept[key]
        return False
    return True


def message_stamps(headers: dict[str, Any]) -> list[Stamp]:
    """Pairs of the stamps of a message and each of their values."""
    stamps = headers.get("stamps")
    if not isinstance(stamps, dict):
        return []
    return [
        (name, str(value))
        for name, values in stamps.items()
        for value in (values if isinstance(values, list | tuple) else [values])
    ]
