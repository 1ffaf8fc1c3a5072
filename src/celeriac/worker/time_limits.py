"""Soft and hard time limits of running tasks.  Runs on the loop; the pool delivers the signals."""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from celeriac.pool.base import Pool
    from celeriac.worker.ledger import Entry

logger = logging.getLogger("celeriac.worker")

#: Seconds after the hard limit, when the process of a task that is still there is killed with all that runs in it.
PATIENCE = 1.0


class TimeLimits:
    """The clocks of tasks that have limits.

    Args:
        pool: Where they run.
        loop: The coordinator's loop.
    """

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}

    def start(self, entry: Entry) -> None:
        """Start the clocks of an entry that has begun."""
        job, timers = entry.job, []
        elapsed = max(0.0, time.time() - (entry.began_at or 0.0))
        if job.soft_limit:
            timers.append(self._loop.call_later(job.soft_limit - elapsed, self._on_soft_limit, entry))
        if job.hard_limit:
            timers.append(self._loop.call_later(job.hard_limit - elapsed, self._on_hard_limit, entry))
        self._timers[entry.seq] = timers

    def cancel(self, seq: int) -> None:
        """Stop the clocks of an entry, if there are any."""
        if seq in self._timers:
            for timer in self._timers.pop(seq):
                timer.cancel()

    def _on_soft_limit(self, entry: Entry) -> None:
        logger.warning("Soft time limit (%ss) exceeded for %s[%s]", entry.job.soft_limit, entry.name, entry.task_id)
        if entry.slot is not None:
            self._pool.exceed(entry.slot, entry.seq)

    def _on_hard_limit(self, entry: Entry) -> None:
        logger.error("Hard time limit (%ss) exceeded for %s[%s]", entry.job.hard_limit, entry.name, entry.task_id)
        if entry.slot is not None:
            entry.timed_out = True
            self._pool.terminate(entry.slot, entry.seq)
            # A coroutine may suppress its cancellation, or keep its event loop from delivering it.
            self._timers[entry.seq].append(self._loop.call_later(PATIENCE, self._kill, entry))

    def _kill(self, entry: Entry) -> None:
        if entry.slot is not None:
            self._pool.interrupt(entry.slot, signal.SIGKILL)
