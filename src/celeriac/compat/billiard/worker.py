"""`Worker`, as in ``billiard.pool``, for those who put something around its loop: they are told when a child ends.

Celeriac's children are its own.  What was put around ``Worker.workloop`` is called in each of them once, at its end,
around nothing: what such functions do after the loop, such as sending what was collected, happens there.
"""

from __future__ import annotations

from typing import Any

from celeriac import signals

__all__ = ["ENDED", "Worker", "tell"]


class _Ended:
    """Stands for a worker of billiard whose loop has ended."""


ENDED = _Ended()


class Worker:
    """Of whom only what is put around its loop is used."""

    def workloop(self, *_args: Any, **_options: Any) -> int:
        """The loop, which has ended."""
        return 0


def tell(worker: Any) -> None:
    """Have the loop of a class called at the end of each child."""

    def end(**_fields: Any) -> None:
        worker.workloop(ENDED)

    signals.worker_process_shutdown.connect(end, weak=False, dispatch_uid="celeriac.compat.billiard")


tell(Worker)
