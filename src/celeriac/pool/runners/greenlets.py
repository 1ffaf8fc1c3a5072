"""GreenletRunner: the jobs of a child are greenlets of its main thread, as many at once as it has room for.

The interpreter has been patched before anything was imported (`celeriac.pool.fresh`): what blocks elsewhere (sockets,
locks, `time.sleep`, the clients of brokers and result stores) lets other greenlets run here.  Coroutines are awaited
on one event loop, which is a greenlet too.
"""

from __future__ import annotations

import contextvars
import os
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from greenlet import GreenletExit, getcurrent

from celeriac import signals
from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelledError
from celeriac.execution.calling import call_body, classify, use_driver
from celeriac.execution.job import CANCELLED
from celeriac.execution.limits import soft_limits
from celeriac.pool.inbox import Closed, Retired
from celeriac.pool.runners.base import CANCEL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from celeriac.execution.calling import Execution
    from celeriac.execution.job import Job
    from celeriac.pool.runners.base import Desk

#: Seconds that a greenlet keeps its connections for another job.
IDLE_SECONDS = 30.0
#: Seconds that killed tasks get when the coordinator is gone.
LAST_SECONDS = 5.0


class Library(Protocol):
    """A library of greenlets."""

    def spawn(self, function: Callable[..., None], *args: Any) -> None:
        """Run a function in a new greenlet."""
        ...

    def call_from_hub(self, function: Callable[[], object]) -> None:
        """Call a function that switches, soon and from no greenlet of ours."""
        ...


class Gevent:
    """gevent."""

    def __init__(self) -> None:
        import gevent

        self.spawn: Any = gevent.spawn
        self._loop = gevent.get_hub().loop

    def call_from_hub(self, function: Callable[[], object]) -> None:
        self._loop.run_callback(function)


class Eventlet:
    """eventlet; ``EVENTLET_NOBLOCK``, in seconds, has it complain of greenlets that let no other run for longer."""

    def __init__(self) -> None:
        import eventlet
        import eventlet.debug

        self.spawn: Any = eventlet.spawn_n
        self._hub = eventlet.hubs.get_hub()
        patience = os.environ.get("EVENTLET_NOBLOCK")
        if patience:
            eventlet.debug.hub_blocking_detection(True, float(patience))

    def call_from_hub(self, function: Callable[[], object]) -> None:
        self._hub.schedule_call_global(0, function)


def open_library(name: str) -> Library:
    """The library called ``gevent`` or ``eventlet``, in an interpreter that it has patched."""
    return Gevent() if name == "gevent" else Eventlet()


class Steering:
    """Context: the task's own code runs, in this greenlet, and may be interrupted where it waits.

    Args:
        library: The library.
        limit: Soft time limit in seconds, if it has one.

    Attributes:
        redirect: Interrupts, in place of this greenlet, the coroutine that it waits for.
        cancelled: `cancel` was called.
    """

    __slots__ = ("_exceeded", "_greenlet", "_library", "cancelled", "limit", "redirect")

    def __init__(self, library: Library, limit: float | None) -> None:
        self._library = library
        self._greenlet: Any = None
        self._exceeded = False
        self.limit = limit
        self.redirect: Callable[..., None] | None = None
        self.cancelled = False

    def __enter__(self) -> None:
        if (reason := self._take_reason()) is not None:
            # It came before there was anything to interrupt.
            raise reason
        self._greenlet = getcurrent()
        soft_limits.by_thread[threading.get_ident()] = self

    def __exit__(self, *exc_info: object) -> None:
        self._greenlet = None
        soft_limits.by_thread.pop(threading.get_ident(), None)

    def exceed(self) -> None:
        """Raise `SoftTimeLimitExceeded` where it waits; one that has ended is left alone."""
        self._exceeded = True
        self._library.call_from_hub(self._interrupt)

    def cancel(self) -> None:
        """Raise `GreenletExit` where it waits; one that has ended is left alone."""
        self.cancelled = True
        self._library.call_from_hub(self._interrupt)

    def _interrupt(self) -> None:
        """Called from the hub, so that the greenlet, which is not running, is still where it was found."""
        if self._greenlet is None:
            return
        if self.redirect is not None:
            self._exceeded = False
            self.redirect(cancel=self.cancelled)
        elif (reason := self._take_reason()) is not None:
            self._greenlet.throw(reason)

    def _take_reason(self) -> BaseException | None:
        exceeded, self._exceeded = self._exceeded, False
        reason: BaseException | None = SoftTimeLimitExceeded(self.limit) if exceeded else None
        return GreenletExit() if self.cancelled else reason


class _Worker:
    """A greenlet that runs one job after the other, and keeps its connections in between."""

    __slots__ = ("called", "job")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.called = threading.Event()


class GreenletRunner:
    """See the module.

    Args:
        desk: Where jobs come from.
        capacity: Jobs at once.
        library: Whose greenlets they are.
    """

    def __init__(self, desk: Desk, capacity: int, library: Library) -> None:
        self._desk = desk
        self._inbox = desk.inbox
        self._inbox.await_frames = self._await_frames
        self._library = library
        self._results = desk.results(apart=True)
        self._executor = desk.executor(self._results)
        self._context = contextvars.copy_context()
        self._running: dict[int, Steering] = {}
        # The one used last is used first, so that no more connections are kept than are needed.
        self._idle: list[_Worker] = []
        self._capacity = capacity
        self._room = threading.Semaphore(capacity)
        self._arrived = threading.Event()
        self._lost = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: Any = getcurrent()
        use_driver(self._drive)

    def run(self) -> None:
        signals.eventlet_pool_started.send(sender=self)
        self._library.spawn(self._read)
        try:
            self._serve()
        except Closed:
            self._abandon()
        except BaseException:
            # A task ends the process; those that ended before it shall not have to run again.
            self._desk.abandoned = True
            self._desk.flush_last(self._results)
            raise
        self._desk.flush_last(self._results)
        signals.eventlet_pool_postshutdown.send(sender=self)

    # -- what the coordinator sends -------------------------------------------------------------------------

    def _read(self) -> None:
        """Frames: jobs, and what concerns those that run."""
        while True:
            try:
                self._inbox.receive()
            except Closed:
                self._lost = True
                self._arrived.set()
                self._library.call_from_hub(lambda: self._main.throw(Closed()))
                return
            self._arrived.set()
            for kind, seq in self._inbox.orders():
                if (steering := self._running.get(seq)) is not None:
                    steering.cancel() if kind == CANCEL else steering.exceed()

    def _await_frames(self) -> None:
        self._arrived.wait()
        self._arrived.clear()
        if self._lost:
            raise Closed

    def _serve(self) -> None:
        """Begin what may begin, and let it end when the child is to leave; raises `Closed` when it is alone."""
        try:
            while True:
                self._room.acquire()
                job = self._inbox.take(block=True)
                if job is not None:
                    self._begin(job)
        except Retired:
            signals.eventlet_pool_preshutdown.send(sender=self)
            # One place was taken for the job that did not come.
            for _ in range(self._capacity - 1):
                self._room.acquire()

    def _abandon(self) -> None:
        """The coordinator is gone, and whatever runs here is delivered again."""
        self._desk.abandoned = True
        for steering in list(self._running.values()):
            steering.cancel()
        ends_at = monotonic() + LAST_SECONDS
        while self._running and monotonic() < ends_at:
            self._room.acquire(timeout=max(0.0, ends_at - monotonic()))

    # -- jobs -----------------------------------------------------------------------------------------------

    def _begin(self, job: Job) -> None:
        self._running[job.seq] = Steering(self._library, job.soft_limit)
        signals.eventlet_pool_apply.send(sender=self, target=self._executor.execute, args=(job,), kwargs={})
        if self._idle:
            worker = self._idle.pop()
            worker.job = job
            worker.called.set()
        else:
            self._library.spawn(self._work, _Worker(job))

    def _work(self, worker: _Worker) -> None:
        """The program of a greenlet."""
        while (job := worker.job) is not None:
            worker.job = None
            worker.called.clear()
            try:
                self._context.copy().run(self._run, job)
            except BaseException as exc:
                self._library.call_from_hub(partial(self._main.throw, exc))
                return
            self._idle.append(worker)
            self._room.release()
            if not worker.called.wait(IDLE_SECONDS) and worker in self._idle:
                self._idle.remove(worker)

    def _run(self, job: Job) -> None:
        if job.announce:
            self._desk.begun(job)
        try:
            outcome = self._executor.execute(job, self._call)
        finally:
            self._running.pop(job.seq, None)
        self._results.finish(outcome, more=True)

    def _call(self, run: Execution) -> None:
        """`celeriac.execution.calling.call` for a greenlet."""
        steering = self._running[run.seq]
        started = monotonic()
        try:
            with steering:
                call_body(run)
        except MemoryError:
            raise
        except (GreenletExit, TaskCancelledError) as exc:
            if steering.cancelled:
                run.kind, run.value = CANCELLED, exc
            elif isinstance(exc, TaskCancelledError):
                classify(run, exc)
            else:
                classify(run, _was_killed(exc))
        except Exception as exc:
            classify(run, exc)
        run.runtime = monotonic() - started

    # -- coroutines -----------------------------------------------------------------------------------------

    def _drive(self, awaitable: Any) -> Any:
        """Await on the event loop of this pool, which begins with the first coroutine."""
        from celeriac.pool.runners.greenlet_loop import drive, start_loop

        if self._loop is None:
            self._loop = start_loop(self._library.spawn)
        return drive(awaitable, keep=True)


def _was_killed(exc: BaseException) -> TaskCancelledError:
    """What to record of a greenlet that ended with `GreenletExit` though the worker had not killed it."""
    failure = TaskCancelledError("the greenlet of the task was killed")
    failure.__cause__ = exc
    return failure.with_traceback(exc.__traceback__)
