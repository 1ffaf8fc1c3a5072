"""Entries that wait in the worker for a moment: the last fraction of an ETA, or the next token of a rate limit.

Longer waits are the broker's.  Pure bookkeeping: the coordinator says when it is time to look.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.worker.ledger import Entry


class Holding:
    """A heap of entries by the monotonic time they are due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, _, entry in self._heap)

    def hold(self, entry: Entry, until: float) -> None:
        """Keep an entry until a monotonic time."""
        heapq.heappush(self._heap, (until, next(self._order), entry))

    def due(self, now: float) -> list[Entry]:
        """Take out what is due, in order."""
        found: list[Entry] = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        return found

    def next_at(self) -> float | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None

    def take(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Take out some entries, in order."""
        found = [entry for _, _, entry in sorted(item for item in self._heap if wanted(item[2]))]
        self._heap = [item for item in self._heap if not wanted(item[2])]
        heapq.heapify(self._heap)
        return found

    def by_time(self) -> list[tuple[float, Entry]]:
        """Entries with the monotonic time they are due, the next one first."""
        return [(until, entry) for until, _, entry in sorted(self._heap)]

    def drain_orphans(self) -> list[Entry]:
        """Take out the entries of lost sessions."""
        found = [entry for _, _, entry in self._heap if entry.orphaned]
        self._heap = [item for item in self._heap if not item[2].orphaned]
        heapq.heapify(self._heap)
        return found

    def drain(self) -> list[Entry]:
        """Take out everything."""
        found = [entry for _, _, entry in self._heap]
        self._heap.clear()
        return found


class TokenBucket:
    """A rate limit: tokens come at ``rate`` a second, at most one is saved up.

    >>> bucket = TokenBucket(2.0, now=0.0)
    >>> bucket.reserve(0.0), bucket.reserve(0.0), bucket.reserve(0.1)
    (0.0, 0.5, 1.0)
    """

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._next = now

    def reserve(self, now: float) -> float:
        """Take the next token; returns the time it may be used."""
        at = max(self._next, now)
        self._next = at + 1.0 / self.rate
        return at
