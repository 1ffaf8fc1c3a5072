"""Trying again while the result store cannot be reached."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

logger = logging.getLogger("celeriac.execution.results")

#: Seconds between attempts while the result store cannot be reached.
RETRY_INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0)


def patiently(action: Callable[[], T], what: str, stop_waiting: Callable[[], bool] = lambda: False) -> T:
    """The value of an action, which is repeated as long as the store cannot be reached.

    Args:
        action: May run twice.
        what: For the log, after "Cannot".
        stop_waiting: Says that the worker is going away.

    Raises:
        OperationalError: The store is still out of reach and ``stop_waiting`` says to give up.
    """
    attempt = 0
    while True:
        try:
            return action()
        except OperationalError as exc:
            if stop_waiting():
                raise
            interval = RETRY_INTERVALS[min(attempt, len(RETRY_INTERVALS) - 1)]
            attempt += 1
            logger.error("Cannot %s: %s. Trying again in %.1f seconds.", what, exc, interval)
            time.sleep(interval)
