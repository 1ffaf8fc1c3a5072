"""When to look at which entry next.  Pure: it knows names and times."""

from __future__ import annotations

import heapq

__all__ = ["Agenda"]


class Agenda:
    """Names by time, each at most once."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        #: What was put to another time since is left in it, and passed over.
        self._heap: list[tuple[float, str]] = []

    def __contains__(self, name: str) -> bool:
        return name in self._times

    def put(self, name: str, at: float | None) -> None:
        """Look at an entry at a time, instead of when it was to be looked at; None is never."""
        if at is None:
            self._times.pop(name, None)
            return
        self._times[name] = at
        heapq.heappush(self._heap, (at, name))

    def replace(self, times: dict[str, float]) -> None:
        """Look at these entries, and no others."""
        self._times = times
        self._heap = [(at, name) for name, at in times.items()]
        heapq.heapify(self._heap)

    @property
    def first(self) -> float | None:
        """The earliest time; None when there is none."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, until: float, limit: int) -> list[str]:
        """Take out the entries whose time has come, the earliest first."""
        names: list[str] = []
        while len(names) < limit and (at := self.first) is not None and at <= until:
            _, name = heapq.heappop(self._heap)
            del self._times[name]
            names.append(name)
        return names
