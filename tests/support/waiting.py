"""Waiting for a condition with a deadline; the replacement for sleeping a guessed time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0, *, what: str = "", interval: float = 0.01) -> T:
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
