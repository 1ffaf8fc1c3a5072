"""Waiting for a condition with a deadline; the replacement for sleeping a guessed time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: Seconds after which something that should have happened is given up: many, for a machine that has much else to do.
PATIENCE = 60.0
#: Seconds that such a machine may add to what has a limit of time.
SLACK = 15.0


def wait_until(condition: Callable[[], T], timeout: float = PATIENCE, *, what: str = "", interval: float = 0.01) -> T:
    """Return the first true value of `condition`.

    Args:
        condition: Called every `interval` seconds until its value is true.
        timeout: Seconds to wait at most.
        what: What is being waited for; shown when it does not come.
        interval: Seconds between two calls.

    Raises:
        AssertionError: The condition was not met in time.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition} did not come true within {timeout} s; last value: {value!r}")
        time.sleep(interval)
