"""Grows and shrinks the pool with the number of tasks the worker holds.  Runs on the coordinator's loop.

How a pool changes its size without losing or repeating a task is the pool's business.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from celeriac.pool.base import Pool

logger = logging.getLogger("celeriac.worker.autoscale")

#: Seconds without growth before the pool shrinks: ``AUTOSCALE_KEEPALIVE`` in the environment.
KEEPALIVE = 30.0
#: Seconds between two looks.
INTERVAL = 1.0


class Autoscaler:
    """Between two sizes: at once as many as there are tasks, and fewer again when there have not been for a while.

    A class named by ``worker_autoscaler`` is made with the same arguments, and may replace `maybe_scale`.

    Args:
        pool: The pool.
        max_concurrency: Tasks at once, at most.
        min_concurrency: At least; a pool never has less than one.
        reserved: Counts the tasks that the worker holds and that are due.
        keepalive: Seconds without growth before it shrinks; None is the environment's, or 30.
    """

    def __init__(
        self,
        pool: Pool,
        max_concurrency: int,
        min_concurrency: int = 0,
        *,
        reserved: Callable[[], int],
        keepalive: float | None = None,
    ) -> None:
        self.pool = pool
        self.max_concurrency = max_concurrency
        self.min_concurrency = min_concurrency
        self.keepalive = _keepalive() if keepalive is None else keepalive
        self._reserved = reserved
        self._grew_at = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look from time to time, besides when messages arrive."""
        self.maybe_scale()
        self._timer = loop.call_later(INTERVAL, self.start, loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def qty(self) -> int:
        """Tasks that the worker holds."""
        return self._reserved()

    @property
    def processes(self) -> int:
        """Tasks that the pool runs at once."""
        return self.pool.size

    def maybe_scale(self) -> bool:
        """Resize the pool if that is due; says whether it was."""
        present, wanted = self.processes, max(min(self.qty, self.max_concurrency), self.min_concurrency, 1)
        now = time.monotonic()
        if wanted > present:
            self._grew_at = now
            logger.info("Scaling up %d processes.", wanted - present)
            self.pool.resize(wanted)
            return True
        if wanted < present and now - self._grew_at > self.keepalive:
            logger.info("Scaling down %d processes.", present - wanted)
            self.pool.resize(wanted)
            return True
        return False

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:
        """Change the bounds; returns both.

        Raises:
            ValueError: The lower one would be above the upper one.
        """
        high = self.max_concurrency if max is None else max
        low = self.min_concurrency if min is None else min
        if high < 1 or not 0 <= low <= high:
            raise ValueError(f"autoscale max={high} min={low}: give 0 <= min <= max, and max of at least 1")
        self.max_concurrency, self.min_concurrency = high, low
        if self.processes > high:
            self.pool.resize(high)
        self.maybe_scale()
        return high, low

    def info(self) -> dict[str, Any]:
        """What `inspect stats` tells."""
        return {"max": self.max_concurrency, "min": self.min_concurrency, "current": self.processes, "qty": self.qty}


def _keepalive() -> float:
    text = os.environ.get("AUTOSCALE_KEEPALIVE", "")
    try:
        return float(text) if text else KEEPALIVE
    except ValueError:
        raise ImproperlyConfigured(f"AUTOSCALE_KEEPALIVE is {text!r}: give a number of seconds") from None


def parse_autoscale(value: Any) -> tuple[int, int]:
    """Upper and lower bound, given as ``max``, ``max,min``, or a pair, in any order.

    Raises:
        ImproperlyConfigured: They are no such thing.
    """
    parts = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value
    try:
        bounds = sorted((int(part) for part in parts), reverse=True)
    except (TypeError, ValueError):
        bounds = []
    if not 1 <= len(bounds) <= 2 or bounds[0] < 1 or bounds[-1] < 0:
        raise ImproperlyConfigured(f"autoscale is {value!r}: give MAX,MIN numbers of tasks at once, such as 10,2")
    return bounds[0], bounds[1] if len(bounds) == 2 else 0
