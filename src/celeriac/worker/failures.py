"""What no child can report or do: tasks lost, killed at a limit, expired, unknown; chords whose worker died.

Runs in one side thread.

Storing may wait for the result store, and handlers are users' code; neither may hold up the coordinator's loop.
"""

from __future__ import annotations

import functools
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celeriac.execution.chords import conclude_overdue, record_parts
from celeriac.execution.execute import Executor, record_unrun
from celeriac.execution.results import ResultBuffer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from celeriac.current import AppLike
    from celeriac.execution.job import Job
    from celeriac.message import Message

logger = logging.getLogger(__name__)


class FailureReporter:
    """Stores failures, then says so on the loop.

    Args:
        app: The application.
        hostname: Node name of the worker.
        loop: The coordinator's loop.
    """

    def __init__(self, app: AppLike, hostname: str, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self._stopping = False
        self._executor = Executor(
            app, hostname, ResultBuffer(lambda outcomes: None, lambda: self._stopping, join=record_parts)
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="failures")

    def fail(self, job: Job, exc: BaseException, then: Callable[[], None]) -> None:
        """Record the failure of a job, run its handlers and errbacks, then call ``then`` on the loop."""
        self._submit(then, self._executor.fail, job, exc)

    def retry(self, job: Job, exc: BaseException, then: Callable[[], None]) -> None:
        """Publish the next attempt of a job, run its handlers, then call ``then`` on the loop."""
        self._submit(then, self._executor.retry, job, exc)

    def store(self, message: Message, state: str, exc: BaseException, then: Callable[[], None]) -> None:
        """Store a state for a message that will not run, and for what waits for it; then call ``then`` on the loop."""
        self._submit(then, record_unrun, self._app, message, state, exc)

    def watch_chords(self, interval: float) -> None:
        """Conclude the chords that other workers left complete, now and again; call on the loop.

        Args:
            interval: Seconds between two looks; 0 is never.
        """
        if interval and self._app.backend.capabilities.chords:
            self._loop.call_later(interval, self._look_at_chords, interval)

    def _look_at_chords(self, interval: float) -> None:
        if not self._stopping:
            self._submit(functools.partial(self.watch_chords, interval), self._conclude_chords)

    def _conclude_chords(self) -> None:
        try:
            conclude_overdue(self._app)
        except Exception as exc:
            logger.error("Cannot look for chords that are complete: %s", exc)

    def _submit(self, then: Callable[[], None], function: Any, *args: Any) -> None:
        self._thread.submit(self._run, then, function, args)

    def _run(self, then: Callable[[], None], function: Any, args: tuple[Any, ...]) -> None:
        try:
            function(*args)
        except Exception:
            logger.exception("A failure could not be recorded; its message stays unacknowledged")
            return
        try:
            self._loop.call_soon_threadsafe(then)
        except RuntimeError:
            logger.warning("A failure was recorded after the worker had stopped; its message will be delivered again")

    def stop(self) -> None:
        """Give up waiting for a store that is down; what is queued still gets its attempt."""
        self._stopping = True
        self._thread.shutdown(wait=True)
