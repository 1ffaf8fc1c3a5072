"""`Timer` and `Hub`: what steps of users have called later, or when a file can be read.

What is called runs in the thread of the steps; asking for it is safe in any thread.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Hub", "Timer", "TimerEntry"]

logger = logging.getLogger("celeriac.worker.timer")


@dataclass(eq=False)
class TimerEntry:
    """A call that is to come.

    Attributes:
        fun: What is called.
        args, kwargs: With what.
        interval: Seconds until it is called again; None is never.
        cancelled: It will not be called.
    """

    fun: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    interval: float | None = None
    cancelled: bool = False
    #: As Celery spells it.
    canceled = property(lambda self: self.cancelled)

    def cancel(self) -> None:
        """Do not call it any more."""
        self.cancelled = True

    def __call__(self) -> Any:
        return self.fun(*self.args, **self.kwargs)


class Timer:
    """Calls by the time they are due.

    Args:
        wake: Called when the next call may be due earlier than before.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        self._order = count()
        self._heap: list[tuple[float, int, int, TimerEntry]] = []

    def call_after(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (), kwargs: Any = None, priority: int = 0
    ) -> TimerEntry:
        """Call a function once, after some seconds.

        Args:
            secs: Seconds.
            fun: The function.
            args: Its positional arguments.
            kwargs: Its keyword arguments.
            priority: Of two that are due at once, the lower comes first.

        Returns:
            The call; its method ``cancel`` takes it back.
        """
        return self._enter(secs, TimerEntry(fun, args, kwargs or {}), priority)

    def call_repeatedly(
        self, secs: float, fun: Callable[..., Any], args: Sequence[Any] = (), kwargs: Any = None, priority: int = 0
    ) -> TimerEntry:
        """Call a function every so many seconds, as `call_after`; an exception is logged and ends nothing."""
        return self._enter(secs, TimerEntry(fun, args, kwargs or {}, interval=secs), priority)

    def call_at(
        self, eta: float, fun: Callable[..., Any], args: Sequence[Any] = (), kwargs: Any = None, priority: int = 0
    ) -> TimerEntry:
        """Call a function once, at a Unix time, as `call_after`."""
        return self.call_after(eta - time.time(), fun, args, kwargs, priority)

    def cancel(self, tref: TimerEntry) -> None:
        """Take a call back."""
        tref.cancel()

    def clear(self) -> None:
        """Take all calls back."""
        with self._lock:
            self._heap.clear()

    def _enter(self, secs: float, entry: TimerEntry, priority: int) -> TimerEntry:
        with self._lock:
            heapq.heappush(self._heap, (time.monotonic() + max(0.0, secs), priority, next(self._order), entry))
        self._wake()
        return entry

    def __len__(self) -> int:
        return len(self._heap)

    # -- the thread of the steps --------------------------------------------------------------------------------

    def run_due(self) -> float | None:
        """Make the calls that are due; returns the seconds until the next one, None if there is none."""
        while True:
            with self._lock:
                if not self._heap:
                    return None
                at, priority, _, entry = self._heap[0]
                left = at - time.monotonic()
                if left > 0 and not entry.cancelled:
                    return left
                heapq.heappop(self._heap)
            if not entry.cancelled:
                self._make(entry, priority)

    def _make(self, entry: TimerEntry, priority: int) -> None:
        try:
            entry()
        except Exception as exc:
            logger.exception("The timer's call of %r raised %r", entry.fun, exc)
        if entry.interval is not None and not entry.cancelled:
            self._enter(entry.interval, entry, priority)


class Hub:
    """The event loop, as far as steps may use it.

    Args:
        timer: Makes the calls.
        loop: Watches files.
    """

    def __init__(self, timer: Timer, loop: asyncio.AbstractEventLoop) -> None:
        self.timer = timer
        self._loop = loop
        self._watched: dict[tuple[str, Any], Callable[[], Any]] = {}

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> TimerEntry:
        """Call a function as soon as the thread of the steps has nothing else to do."""
        return self.timer.call_after(0.0, callback, args)

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> TimerEntry:
        """Call a function after some seconds."""
        return self.timer.call_after(delay, callback, args)

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> TimerEntry:
        """Call a function at a Unix time."""
        return self.timer.call_at(when, callback, args)

    def call_repeatedly(self, delay: float, callback: Callable[..., Any], *args: Any) -> TimerEntry:
        """Call a function every so many seconds."""
        return self.timer.call_repeatedly(delay, callback, args)

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call a function whenever a file can be read."""
        self._watch("reader", fd, lambda: callback(*args))

    def add_writer(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:
        """Call a function whenever a file can be written."""
        self._watch("writer", fd, lambda: callback(*args))

    def remove(self, fd: Any) -> None:
        """Watch a file no longer."""
        self.remove_reader(fd)
        self.remove_writer(fd)

    def remove_reader(self, fd: Any) -> None:
        """Do not watch whether a file can be read."""
        self._forget("reader", fd)

    def remove_writer(self, fd: Any) -> None:
        """Do not watch whether a file can be written."""
        self._forget("writer", fd)

    def _watch(self, kind: str, fd: Any, callback: Callable[[], Any]) -> None:
        self._watched[kind, fd] = callback
        self._loop.call_soon_threadsafe(self._arm, kind, fd, callback)

    def _forget(self, kind: str, fd: Any) -> None:
        if self._watched.pop((kind, fd), None) is not None:
            self._loop.call_soon_threadsafe(getattr(self._loop, f"remove_{kind}"), fd)

    def _arm(self, kind: str, fd: Any, callback: Callable[[], Any]) -> None:
        if self._watched.get((kind, fd)) is callback:
            getattr(self._loop, f"add_{kind}")(fd, self._on_event, kind, fd, callback)

    def _on_event(self, kind: str, fd: Any, callback: Callable[[], Any]) -> None:
        # Watched again when the callback, which runs in another thread, has taken what there was.
        getattr(self._loop, f"remove_{kind}")(fd)
        self.call_soon(self._serve, kind, fd, callback)

    def _serve(self, kind: str, fd: Any, callback: Callable[[], Any]) -> None:
        if self._watched.get((kind, fd)) is callback:
            try:
                callback()
            finally:
                self._loop.call_soon_threadsafe(self._arm, kind, fd, callback)
