"""`worker.pool`, as steps of users know it from Celery; safe in the thread of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.worker.bootsteps import StepThread

__all__ = ["PoolView"]


class PoolView:
    """The pool of a worker.

    Args:
        thread: The thread of the steps.
    """

    def __init__(self, thread: StepThread) -> None:
        self._thread = thread

    @property
    def num_processes(self) -> int:
        """Tasks that run at once."""
        return self._thread.parts.pool.size

    @property
    def info(self) -> dict[str, Any]:
        """What is to be told of it."""
        pool = self._thread.parts.pool
        pids = self._thread.on_loop(lambda: [slot.pid for slot in pool.slots if slot.pid])
        return {"implementation": f"{type(pool).__module__}:{type(pool).__name__}", "max-concurrency": pool.size,
                "processes": pids}  # fmt: skip

    def grow(self, n: int = 1) -> None:
        """Run more tasks at once.

        Raises:
            ValueError: It cannot.
        """
        self._thread.on_loop(lambda: self._resize(n))

    def shrink(self, n: int = 1) -> None:
        """Run fewer tasks at once.

        Raises:
            ValueError: It cannot.
        """
        self.grow(-n)

    def restart(self) -> None:
        """Replace every process.

        Raises:
            ValueError: It cannot.
        """
        self._thread.on_loop(self._thread.parts.pool.restart)

    def _resize(self, by: int) -> None:
        parts = self._thread.parts
        parts.pool.resize(parts.pool.size + by)
        parts.replan()
