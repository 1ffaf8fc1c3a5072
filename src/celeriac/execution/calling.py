"""Calling a task's own code, and what its end means.  What surrounds the call is `celeriac.execution.execute`'s."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.exceptions import Ignore, Reject, Retry
from celeriac.execution.job import FAILED, IGNORED, REJECTED, REQUEUED, RETRIED, SUCCEEDED
from celeriac.execution.limits import as_raised_by_users, soft_limits
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.current import Context

_PACKAGE = __file__.rpartition(os.sep)[0].rpartition(os.sep)[0]
#: Where the frames are that a traceback of a task begins without.
_OWN_FRAMES = (f"{_PACKAGE}{os.sep}execution{os.sep}", f"{_PACKAGE}{os.sep}pool{os.sep}runners{os.sep}")


@dataclass
class Execution:
    """Working record of one run, filled in step by step.

    Attributes:
        task: The task.
        request: Its request.
        args: Positional arguments.
        kwargs: Keyword arguments.
        kind: Kind of outcome (constants of `celeriac.execution.job`).
        state: State to store.
        value: Return value, or the exception.
        einfo: Of the exception, if there was one.
        runtime: Seconds the task's own code took.
        seq: Number of the job; 0 outside of a worker.
        soft_limit: Soft time limit in seconds, or None.
        began_at: Monotonic time at which its limits began, if it has any.
        events: Report what becomes of it, for those who listen to events.
    """

    task: Any
    request: Context
    args: Any
    kwargs: Any
    kind: int = SUCCEEDED
    state: str = states.SUCCESS
    value: Any = None
    einfo: ExceptionInfo | None = None
    runtime: float = 0.0
    seq: int = 0
    soft_limit: float | None = None
    began_at: float = 0.0
    events: bool = False

    @property
    def traceback(self) -> str | None:
        """Text of the traceback, if there was an exception."""
        return self.einfo.traceback if self.einfo is not None else None


def call(run: Execution) -> None:
    """Call the user's code and classify how it ended.

    `SystemExit` and `KeyboardInterrupt` pass through: the process is to end, and the pool treats the task as lost.
    """
    started = monotonic()
    try:
        if run.soft_limit:
            with soft_limits.watch(run.seq, run.soft_limit, run.began_at):
                call_body(run)
        else:
            call_body(run)
    except MemoryError:
        raise
    except Exception as exc:
        classify(run, exc)
    run.runtime = monotonic() - started


def call_body(run: Execution) -> None:
    """Call the user's code, and enter what it returns."""
    task = run.task
    if task.plan.has_before_start:
        complete(task.before_start(run.request.id, run.args, run.kwargs))
    value = task(*run.args, **run.kwargs) if task.plan.custom_call else task.run(*run.args, **run.kwargs)
    # A coroutine is awaited whoever made it: a decorated body need not be one itself.
    run.value = complete(value) if type(value) is CoroutineType else value


def complete(value: Any) -> Any:
    """The value, or that of the coroutine that it is: what a body or a handler returned."""
    if type(value) is not CoroutineType:
        return value
    if _driver is not None:
        return _driver(value)
    # Not earlier: asyncio is 5 MB in each process.
    from celeriac.execution.coroutines import drive

    return drive(value, keep=_thread.keeps_loop)


_driver: Callable[[Any], Any] | None = None


def use_driver(driver: Callable[[Any], Any]) -> None:
    """Have coroutines awaited by a function, in this process."""
    global _driver
    _driver = driver


class _Thread(threading.local):
    """What a thread does between tasks."""

    keeps_loop = False


_thread = _Thread()


@contextmanager
def loop_kept() -> Iterator[None]:
    """Context: this thread keeps one event loop, so that what a coroutine opens there serves the next task too."""
    _thread.keeps_loop = True
    try:
        yield
    finally:
        _thread.keeps_loop = False
        # Else no coroutine was awaited, here or anywhere.
        if "celeriac.execution.coroutines" in sys.modules:
            from celeriac.execution.coroutines import close_loop

            close_loop()


def classify(run: Execution, exc: Exception) -> None:
    """Enter how the user's code ended, by what it raised."""
    if isinstance(exc, Reject):
        run.kind = REQUEUED if exc.requeue else REJECTED
        run.state, run.value = (states.REJECTED if exc.requeue else states.FAILURE), exc
        run.einfo = describe(exc)
    elif isinstance(exc, Ignore):
        run.kind, run.state, run.value = IGNORED, states.IGNORED, exc
    elif isinstance(exc, Retry):
        run.kind, run.state, run.value, run.einfo = RETRIED, states.RETRY, exc, describe(exc)
    else:
        run.kind, run.state, run.value = FAILED, states.FAILURE, as_raised_by_users(exc)
        run.einfo = describe(run.value)


def describe(exc: BaseException) -> ExceptionInfo:
    """The exception that the user's code raised, with a traceback that begins there and not in these files."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(_OWN_FRAMES):
        tb = tb.tb_next
    # Without any frame of the user's, such as for arguments that do not fit, ours are better than none.
    if tb is not None:
        exc.__traceback__ = tb
    return ExceptionInfo.from_exception(exc)
