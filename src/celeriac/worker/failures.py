"""Failures that no child can report: lost, killed at a limit, expired, unknown.  Runs in one side thread.

Storing may wait for the result store, and handlers are users' code; neither may hold up the coordinator's loop.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.execution.execute import Executor, store_rest, store_state
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
        self._executor = Executor(app, hostname, ResultBuffer(lambda outcomes: None, lambda: self._stopping))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="failures")

    def fail(self, job: Job, exc: BaseException, then: Callable[[], None]) -> None:
        """Record the failure of a job, run its handlers and errbacks, then call ``then`` on the loop."""
        self._submit(then, self._executor.fail, job, exc)

    def store(self, message: Message, state: str, exc: BaseException, then: Callable[[], None]) -> None:
        """Store a state for a message that will not run, and for what waits for it; then call ``then`` on the loop."""
        self._submit(then, self._store, message, state, exc)

    def _store(self, message: Message, state: str, exc: BaseException) -> None:
        if state in states.READY_STATES:
            store_rest(self._app, message, exc)
        store_state(self._app, message.headers, message.properties, state, exc)

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
