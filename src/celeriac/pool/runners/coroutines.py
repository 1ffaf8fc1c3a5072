"""CoroutineRunner: the jobs of a child are asyncio tasks of its main thread, as many at once as it has room for.

Only the code of ``async def`` tasks runs on the event loop, and what takes no time.  Everything that may wait has
threads: tasks that are ordinary functions, storing and publishing, handlers and receivers of signals.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.current import pop_task, push_task
from celeriac.execution.coroutines import Steering, acall, use_loop_of_pool
from celeriac.execution.execute import UNREADABLE
from celeriac.execution.job import CANCELLED, IGNORED, Outcome
from celeriac.execution.limits import soft_limits
from celeriac.pool.inbox import Closed, Retired
from celeriac.pool.runners.base import CANCEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.execution.calling import Execution
    from celeriac.execution.job import Job
    from celeriac.pool.runners.base import Desk

T = TypeVar("T")

logger = logging.getLogger("celeriac.pool.child")

#: Threads for tasks that are ordinary functions, and for what surrounds a coroutine.
MAX_FUNCTIONS, STEP_THREADS = 32, 4
#: Seconds that cancelled tasks get when the coordinator is gone.
LAST_SECONDS = 5.0


class CoroutineRunner:
    """See the module.

    Args:
        desk: Where jobs come from.
        capacity: Jobs at once.
    """

    def __init__(self, desk: Desk, capacity: int) -> None:
        self._desk = desk
        self._inbox = desk.inbox
        self._capacity = capacity
        self._results = desk.results(apart=True)
        self._executor = desk.executor(self._results)
        self._tasks = desk.app.tasks
        self._steps = ThreadPoolExecutor(STEP_THREADS, "celeriac-steps")
        self._functions = ThreadPoolExecutor(min(capacity, MAX_FUNCTIONS), "celeriac-functions")
        self._running: dict[int, tuple[asyncio.Task[None], Steering | None]] = {}
        self._taking = False
        self._closed: Closed | None = None
        # What ends the process.
        self._fatal: BaseException | None = None
        self._changed: asyncio.Event
        self._loop: asyncio.AbstractEventLoop

    def run(self) -> None:
        try:
            asyncio.run(self._work())
        except BaseException:
            self._desk.abandoned = True
            self._desk.flush_last(self._results)
            raise

    async def _work(self) -> None:
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        use_loop_of_pool(self._loop)
        self._loop.add_reader(self._inbox.fileno(), self._read)
        self._take_or_rest()
        while self._fatal is None and (self._closed is None or self._running):
            self._changed.clear()
            await self._changed.wait()
            if self._closed is not None and not isinstance(self._closed, Retired):
                await self._abandon()
        self._loop.remove_reader(self._inbox.fileno())
        if self._fatal is not None:
            for _, steering in self._running.values():
                if steering is not None:
                    steering.cancel()
            raise self._fatal
        await asyncio.to_thread(self._desk.flush_last, self._results)

    async def _abandon(self) -> None:
        """The coordinator is gone, and whatever runs here is delivered again."""
        self._desk.abandoned = True
        tasks = [task for task, _ in self._running.values()]
        for seq in list(self._running):
            self._cancel(seq)
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_SECONDS)
        self._running.clear()

    # -- what the coordinator sends -------------------------------------------------------------------------

    def _read(self) -> None:
        """Frames: jobs, and what concerns those that run."""
        if not self._inbox.has_frames():
            # `_take`, called by the same turn of the loop, has read them already.
            return
        try:
            self._inbox.receive()
        except Closed as exc:
            self._loop.remove_reader(self._inbox.fileno())
            self._close(exc)
        self._obey()

    def _obey(self) -> None:
        """Carry out what came between the jobs."""
        for kind, seq in self._inbox.orders():
            if kind == CANCEL:
                self._cancel(seq)
            else:
                self._exceed(seq)

    def _cancel(self, seq: int) -> None:
        """Cancel a coroutine; a function in a thread has to be left to its end."""
        _, steering = self._running.get(seq, (None, None))
        if steering is not None:
            steering.cancel()

    def _exceed(self, seq: int) -> None:
        _, steering = self._running.get(seq, (None, None))
        if steering is not None:
            steering.exceed()
        else:
            soft_limits.exceed(seq)

    def _close(self, exc: Closed) -> None:
        self._closed = exc
        self._take_or_rest()
        self._changed.set()

    def _take_or_rest(self) -> None:
        """Listen for jobs while there is room for one."""
        takes = self._closed is None and len(self._running) < self._capacity
        if takes and not self._taking:
            self._loop.add_reader(self._inbox.permits, self._take)
        elif self._taking and not takes:
            self._loop.remove_reader(self._inbox.permits)
        self._taking = takes

    def _take(self) -> None:
        """Begin what may begin."""
        try:
            while jobs := self._inbox.take_many(self._capacity - len(self._running)):
                for job in jobs:
                    self._start(job)
        except Closed as exc:
            self._close(exc)
        self._obey()
        self._take_or_rest()

    # -- jobs -----------------------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        """Run a job as an asyncio task."""
        steering: Steering | None = None
        task = self._tasks.get(job.headers["task"])
        if task is not None and task.plan.is_coroutine:
            steering = Steering(job.soft_limit)
            running = self._loop.create_task(self._run_coroutine(job, steering), name=job.headers.get("id"))
        else:
            running = self._loop.create_task(self._run_function(job))
        self._running[job.seq] = running, steering
        running.add_done_callback(lambda done: self._on_done(job.seq, done))

    def _on_done(self, seq: int, done: asyncio.Task[None]) -> None:
        self._running.pop(seq, None)
        if not done.cancelled() and (exc := done.exception()) is not None:
            self._fatal = exc
            self._changed.set()
        if not self._running:
            self._changed.set()
        if not self._taking:
            self._take_or_rest()

    async def _run_function(self, job: Job) -> None:
        outcome = await self._loop.run_in_executor(self._functions, self._call_function, job)
        self._results.finish(outcome, more=True)

    def _call_function(self, job: Job) -> Outcome:
        if job.announce:
            self._desk.begun(job)
        return self._executor.execute(job)

    async def _run_coroutine(self, job: Job, steering: Steering) -> None:
        try:
            run = self._executor.enter(job)
        except UNREADABLE as exc:
            self._results.finish(self._executor.refuse(job, exc), more=True)
            return
        if job.announce:
            self._desk.begun(job)
        if self._executor.has_to_ask(job) and not await self._apart(self._executor.may_begin, job):
            self._results.finish(Outcome(job.seq, IGNORED, 0.0), more=True)
            return
        if run.events:
            self._executor.started(run)
        token = push_task(run.task, run.request)
        run.request._postponed = []
        try:
            await self._surround(run, steering)
        except Exception as exc:
            self._executor.note_internal_error(run, exc)
            raise
        finally:
            pop_task(token)
        self._results.finish(self._executor.outcome(run), more=True)

    async def _surround(self, run: Execution, steering: Steering) -> None:
        """The task's own code, and the steps before and after it."""
        if not self._executor.begins_at_once(run):
            await self._apart(self._executor.begin, run)
        await acall(run, steering)
        if run.kind == CANCELLED:
            logger.warning("Task %s[%s] was cancelled", run.task.name, run.request.id)
        elif self._executor.finishes_at_once(run):
            self._executor.finish(run)
        else:
            await self._apart(self._executor.finish, run)

    async def _apart(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in a thread, in a copy of this context; what it sets there is set here."""
        context = contextvars.copy_context()
        value = await self._loop.run_in_executor(self._steps, context.run, function, *args)
        for variable in context:
            if variable.get(None) is not context[variable]:
                variable.set(context[variable])
        return value
