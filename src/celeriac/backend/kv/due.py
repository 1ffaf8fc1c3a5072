"""Chords that are complete, or about to be, and not concluded: where workers find what another one left.

A key-value store may not be able to list its keys. So these chords are listed under a few keys that are known, with the
times until which they are leased.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from zlib import crc32

from celeriac.serialization.json_types import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.backend.kv.values import Values

#: Lists, for chords that are completed at the same time; each costs a read when a worker looks.
LISTS: Final = 8
#: Chords taken over from a list at once.
_PAGE: Final = 20


class DueChords:
    """The lists.

    Args:
        values: Where they are kept.
        prefix: Of their keys.
    """

    def __init__(self, values: Values, prefix: str) -> None:
        self._values = values
        self._keys = [f"{prefix}{number}" for number in range(LISTS)]

    def _key(self, chord_id: str) -> str:
        return self._keys[crc32(chord_id.encode()) % LISTS]

    def add(self, chord_id: str, lease: float) -> None:
        """List a chord, leased for so many seconds from now."""

        def changed(leases: dict[str, float]) -> None:
            leases[chord_id] = time.time() + lease

        self._change(self._key(chord_id), changed)

    def remove(self, chord_id: str) -> None:
        """List it no more."""
        self._change(self._key(chord_id), lambda leases: leases.pop(chord_id, None))

    def take(self, lease: float) -> list[str]:
        """Chords whose lease ran out; they are leased to the caller for so many seconds."""
        taken: list[str] = []
        for key, stored in self._values.read(self._keys).items():
            # Mostly there are none: that changes nothing.
            if _overdue(loads(stored.data)):
                taken += self._take(key, lease)
        return taken

    def _take(self, key: str, lease: float) -> list[str]:
        found: list[str] = []

        def changed(leases: dict[str, float]) -> None:
            found[:] = _overdue(leases)
            leases.update(dict.fromkeys(found, time.time() + lease))

        self._change(key, changed)
        return found

    def _change(self, key: str, change: Callable[[dict[str, float]], object]) -> None:
        def changed(data: bytes | None) -> bytes | None:
            leases: dict[str, float] = {} if data is None else loads(data)
            before = dict(leases)
            change(leases)
            return None if leases == before else dumps(leases)

        self._values.change(key, changed)


def _overdue(leases: dict[str, float]) -> list[str]:
    now = time.time()
    return [chord_id for chord_id, until in leases.items() if until <= now][:_PAGE]
