"""The scheduler's clock: the seam by which tests make time pass, jump and stand still."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

__all__ = ["Clock"]


class Clock:
    """The clocks of the machine."""

    def time(self) -> float:
        """Seconds since 1970, as the machine believes."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that have passed since some moment; nobody can set it."""
        return time.monotonic()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event; True when it is set."""
        return event.wait(seconds)
