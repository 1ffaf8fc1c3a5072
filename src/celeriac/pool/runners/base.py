"""What a runner is given by its child."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from celeriac.exceptions import OperationalError
from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.results import ResultBuffer

if TYPE_CHECKING:
    from celeriac.current import AppLike
    from celeriac.execution.job import Job, Outcome
    from celeriac.execution.results import ReportedEvent
    from celeriac.pool.inbox import Inbox

import logging

logger = logging.getLogger("celeriac.pool.child")

#: Kinds of message a child sends; the first item of the frame.
READY: Final = 0
BEGUN: Final = 1
OUTCOMES: Final = 2
EVENTS: Final = 3
RELAYED: Final = 4

#: Runners whose jobs are greenlets, by the name of their library.
GREENLETS: Final = ("gevent", "eventlet")

#: Kinds of message about one job that the coordinator sends, besides jobs: raise its soft limit, cancel it.
EXCEED: Final = 0
CANCEL: Final = 1


class Runner(Protocol):
    """Runs the jobs of a child; made in its main thread, with a `Desk` and the number of jobs at once."""

    def run(self) -> None:
        """Work until there is nothing more to do; raises what a task raises to end the process."""
        ...


class Desk:
    """Where a runner takes jobs and leaves outcomes.

    Args:
        app: The finalized application.
        hostname: Node name of the worker.
        inbox: Where jobs come in.
        link: Sends frames to the coordinator, from any thread.
    """

    def __init__(self, app: AppLike, hostname: str, inbox: Inbox, link: Link) -> None:
        self.app = app
        self.hostname = hostname
        self.inbox = inbox
        self._link = link
        #: Nobody waits for results any more, so that a store out of reach is not waited for.
        self.abandoned = False

    def results(self, *, apart: bool = False) -> ResultBuffer:
        """A buffer for the results of jobs.

        Args:
            apart: Whoever finishes a job does not wait for its result to be stored.
        """
        return ResultBuffer(
            self._link.report, lambda: self.abandoned, join=record_parts, report=self._link.report_events, apart=apart
        )

    def executor(self, results: ResultBuffer) -> Executor:
        """Runs jobs."""
        return Executor(self.app, self.hostname, results)

    def announce(self, job: Job, results: ResultBuffer) -> None:
        """Say that a job begins that is to be announced, after those before it have been reported."""
        if job.announce:
            results.flush()
            self.begun(job)

    def begun(self, job: Job) -> None:
        """Say that a job begins."""
        job.began_at = time.monotonic()
        self._link.send(BEGUN, (job.seq, time.time()))

    def flush_last(self, results: ResultBuffer) -> None:
        """Report what there is before the child leaves."""
        try:
            results.flush()
        except (OSError, OperationalError):
            logger.warning("Leaving with unreported outcomes: their messages will be delivered again")


class Link(Protocol):
    """The way to the coordinator."""

    def send(self, kind: int, value: Any) -> None:
        """Send a frame."""
        ...

    def report(self, outcomes: list[Outcome]) -> None:
        """Send outcomes."""
        ...

    def report_events(self, events: list[ReportedEvent]) -> None:
        """Send events about tasks."""
        ...
