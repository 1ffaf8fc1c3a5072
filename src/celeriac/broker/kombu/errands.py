"""One thread that does what it is told, in order: what kombu blocks on then has a deadline, and can be left.

kombu's connections, and many of the libraries under them, belong to the thread that opened them.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")


class Errands:
    """The thread, which begins with the first errand and keeps no process alive.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, work: Callable[[], R]) -> Future[R]:
        """Have something done after all that was posted before."""
        future: Future[R] = Future()
        self._waiting.put((future, work))
        return future

    def stop(self) -> None:
        """End the thread once everything posted is done."""
        self._waiting.put(None)

    def _run(self) -> None:
        while (errand := self._waiting.get()) is not None:
            future, work = errand
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)
            # A thread that waits keeps nothing of the last errand.
            del errand, future, work
