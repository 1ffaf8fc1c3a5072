"""A Lamport clock: numbers that order what happened in several processes.  It knows nothing of messages."""

from __future__ import annotations

import threading

__all__ = ["LamportClock"]


class LamportClock:
    """A count that only grows: `forward` before something is sent, `adjust` when something arrives.

    Args:
        initial_value: Where it begins.

    >>> clock = LamportClock()
    >>> clock.forward(), clock.adjust(41), clock.forward()
    (1, 42, 43)
    """

    __slots__ = ("_lock", "value")

    def __init__(self, initial_value: int = 0) -> None:
        self.value = initial_value
        self._lock = threading.Lock()

    def forward(self, steps: int = 1) -> int:
        """Count on; returns the new value.

        Args:
            steps: By how much, for several things at once.
        """
        with self._lock:
            self.value += steps
            return self.value

    def adjust(self, other: int) -> int:
        """Go beyond the value of another clock; returns the new value."""
        with self._lock:
            self.value = max(self.value, other) + 1
            return self.value

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.value}>"
