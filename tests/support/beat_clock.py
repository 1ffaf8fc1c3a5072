"""A clock for schedulers that stands still until a test moves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.beat.clock import Clock

if TYPE_CHECKING:
    import threading

#: 2026-03-04 12:00:00 UTC.
NOON = 1772625600.0


class FakeClock(Clock):
    """Time as the test says.

    Args:
        start: Unix time it begins with.
    """

    def __init__(self, start: float = NOON) -> None:
        self.now = start
        self.passed = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.sleep(seconds)
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.passed += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self.now += seconds
