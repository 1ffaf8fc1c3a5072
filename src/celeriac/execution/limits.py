"""Soft time limits: raising `SoftTimeLimitExceeded` in a task that runs in this process.

When a limit has passed is the coordinator's to say.  What is interrupted is the task's own code and nothing around
it: a task is watched only between `before_start` and the return of its body.

* In the main thread the exception comes out of a signal handler.
* In any other thread it is injected (`PyThreadState_SetAsyncExc`): it is raised when that thread next runs Python
  code, so that a call which blocks outside of Python, such as reading a socket, ends first.
* A coroutine gets it where it awaits; see `celeriac.execution.coroutines`.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.exceptions import SoftTimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Seconds by which the clock that the coordinator goes by, of wall time, may differ from ours.
_TOLERANCE = 0.05


class Interruptible(Protocol):
    """What a thread, or a greenlet, runs under.

    Attributes:
        limit: Seconds.
        redirect: As of `Watch`.
    """

    limit: float | None
    redirect: Callable[..., None] | None


class Watch:
    """Context: the task's own code runs, in this thread, under a limit.

    Args:
        limits: Where it registers.
        seq: Number of the job.
        limit: Seconds.
        ends_at: Monotonic time at which it passes.

    Attributes:
        redirect: Interrupts, in place of this thread, the coroutine that it drives; with ``cancel``, cancels it.
    """

    def __init__(self, limits: SoftLimits, seq: int, limit: float, ends_at: float) -> None:
        self._limits = limits
        self._seq = seq
        self.limit: float | None = limit
        self._ends_at = ends_at
        self.redirect: Callable[..., None] | None = None
        self._in_main = threading.current_thread() is threading.main_thread()
        self._thread = threading.get_ident()
        # Not for the main thread: a signal handler, which interrupts it anywhere, cannot wait for it.
        self._lock = threading.Lock()
        self._active = False

    def __enter__(self) -> None:
        self._limits.watches[self._seq] = self
        self._limits.by_thread[self._thread] = self
        self._active = True

    def __exit__(self, *exc_info: object) -> None:
        self._limits.watches.pop(self._seq, None)
        self._limits.by_thread.pop(self._thread, None)
        if self._in_main:
            self._active = False
            return
        with self._lock:
            self._active = False
            _inject(self._thread, None)

    def is_due(self) -> bool:
        """The limit has passed."""
        return time.monotonic() >= self._ends_at - _TOLERANCE

    def exceed(self) -> None:
        """Interrupt the task, once.

        Raises:
            SoftTimeLimitExceeded: It is the calling thread that runs it.
        """
        if self.redirect is not None:
            self.redirect()
        elif self._in_main:
            if self._active:
                self._active = False
                raise SoftTimeLimitExceeded(self.limit)
        else:
            with self._lock:
                if self._active:
                    self._active = False
                    _inject(self._thread, _exception_class(self.limit))


class SoftLimits:
    """The limits of what runs in this process.

    Attributes:
        watches: By number of the job.
        by_thread: The same by thread.
    """

    def __init__(self) -> None:
        self.watches: dict[int, Watch] = {}
        self.by_thread: dict[int, Interruptible] = {}

    def install(self) -> None:
        """Take over SIGUSR1; only in the main thread of a child."""
        signal.signal(signal.SIGUSR1, self._on_signal)

    def watch(self, seq: int, limit: float, began_at: float) -> Watch:
        """Context for the task's own code, in the calling thread.

        Args:
            seq: Number of the job.
            limit: Seconds.
            began_at: Monotonic time from which they count, as the coordinator was told it.
        """
        return Watch(self, seq, limit, began_at + limit)

    def exceed(self, seq: int) -> None:
        """Interrupt one job, from another thread; one that has ended is left alone."""
        watch = self.watches.get(seq)
        if watch is not None:
            watch.exceed()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        # The signal may arrive a moment late, when another task runs.
        for watch in list(self.watches.values()):
            if watch.is_due():
                watch.exceed()


#: Those of this process.
soft_limits = SoftLimits()


def _inject(thread: int, exception: Any) -> None:
    """Have a thread raise an exception of a class; None takes back one that it has not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if exception is None else ctypes.py_object(exception)
    )


def _exception_class(limit: float | None) -> type[SoftTimeLimitExceeded]:
    """A class whose instances know the limit: only a class can be injected."""

    def initialize(self: SoftTimeLimitExceeded, *args: Any) -> None:
        SoftTimeLimitExceeded.__init__(self, *(args or (limit,)))

    return type("SoftTimeLimitExceeded", (SoftTimeLimitExceeded,), {"__init__": initialize})


def as_raised_by_users(exc: BaseException) -> BaseException:
    """The exception itself, or what stands for one of the classes that only carry a soft limit into a task."""
    if isinstance(exc, SoftTimeLimitExceeded) and type(exc) is not SoftTimeLimitExceeded:
        plain = SoftTimeLimitExceeded(*exc.args)
        plain.__cause__, plain.__context__ = exc.__cause__, exc.__context__
        return plain.with_traceback(exc.__traceback__)
    return exc
