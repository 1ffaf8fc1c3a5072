"""ThreadRunner: several jobs at once, each in a thread of its own."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from celeriac.pool.inbox import Closed
from celeriac.pool.runners.serial import serve

if TYPE_CHECKING:
    from celeriac.execution.job import Job
    from celeriac.pool.runners.base import Desk

logger = logging.getLogger("celeriac.pool.child")


class ThreadRunner:
    """See the module.

    Args:
        desk: Where jobs come from.
        capacity: Threads.
    """

    def __init__(self, desk: Desk, capacity: int) -> None:
        self._desk = desk
        self._capacity = capacity
        self._take_lock = threading.Lock()
        # What the inbox raised when it was closed, for the threads that did not see it.
        self._closed: Closed | None = None

    def run(self) -> None:
        workers = [
            threading.Thread(target=self._serve, name=f"ThreadPoolExecutor-{n}", daemon=True)
            for n in range(1, self._capacity + 1)
        ]
        for thread in workers:
            thread.start()
        for thread in workers:
            thread.join()

    def _serve(self) -> None:
        """A thread that ends for any reason but `Closed` takes the process with it: its slot would be deaf."""
        try:
            serve(self._desk, self._take)
        except BaseException:
            logger.critical("A task ended its thread; the child exits", exc_info=True)
            logging.shutdown()
            os._exit(1)

    def _take(self, *, block: bool) -> Job | None:
        """`Inbox.take` for several threads: one of them waits, and the others do not wait for it with a job done."""
        if not self._take_lock.acquire(blocking=block):
            return None
        try:
            if self._closed is not None:
                raise self._closed
            return self._desk.inbox.take(block=block)
        except Closed as exc:
            self._closed = exc
            raise
        finally:
            self._take_lock.release()
