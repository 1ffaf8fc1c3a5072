"""SerialRunner: one job after the other, in the main thread of the child."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.execution.calling import loop_kept
from celeriac.pool.inbox import Closed, Retired

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.execution.job import Job
    from celeriac.execution.results import ResultBuffer
    from celeriac.pool.runners.base import Desk


class SerialRunner:
    """See the module.

    Args:
        desk: Where jobs come from.
        capacity: 1.
    """

    def __init__(self, desk: Desk, capacity: int) -> None:
        self._desk = desk

    def run(self) -> None:
        serve(self._desk, self._desk.inbox.take)


def serve(desk: Desk, take: Callable[..., Job | None]) -> None:
    """Take, execute, report, in the calling thread; flush whenever nothing is next.

    Args:
        desk: Where outcomes go.
        take: Begins the next job; ``block`` says whether to wait for it.
    """
    results = desk.results()
    try:
        with loop_kept():
            _serve_until_closed(desk, take, results)
    except Closed as exc:
        desk.abandoned = not isinstance(exc, Retired)
        desk.flush_last(results)
    except BaseException:
        # The task ends the process; those that ended before it shall not have to run again.
        desk.abandoned = True
        desk.flush_last(results)
        raise


def _serve_until_closed(desk: Desk, take: Callable[..., Job | None], results: ResultBuffer) -> None:
    """Raises `Closed` when there is nothing more to do, and what tasks raise to end the process."""
    execute = desk.executor(results).execute
    job: Job | None = None
    while True:
        if job is None:
            job = take(block=True)
            if job is None:
                continue
        if job.announce:
            desk.announce(job, results)
        outcome = execute(job)
        try:
            job = take(block=False)
        except Closed:
            results.finish(outcome, more=True)
            raise
        results.finish(outcome, more=job is not None)
