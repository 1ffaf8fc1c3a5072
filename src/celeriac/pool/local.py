"""LocalPool: jobs run in this process's main thread, one at a time, while the coordinator's loop runs on a side thread.

So heartbeats and leases go on during a long task.  A soft time limit is raised in the main thread; a hard one cannot
be enforced here: nobody is left to kill.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.execution.calling import loop_kept
from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.limits import soft_limits
from celeriac.execution.results import ResultBuffer
from celeriac.pool.base import Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.current import AppLike
    from celeriac.execution.job import Job, Outcome
    from celeriac.execution.results import ReportedEvent
    from celeriac.pool.base import PoolListener


class LocalPool:
    """The ``solo`` pool.

    Args:
        app: The finalized application.
        hostname: Node name of the worker.
    """

    name = "solo"
    ends_single_jobs = False
    size = 1

    def __init__(self, app: AppLike, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._slot = Slot(1, pid=os.getpid())
        self._jobs: deque[Job] = deque()
        # The thread that runs jobs, where a signal handler interrupts it: the main one.
        self._main: int | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._gone = threading.Event()
        self._listener: PoolListener
        self._loop: asyncio.AbstractEventLoop

    @property
    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    async def start(self, listener: PoolListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._slot.ready = True
        listener.on_slot_ready(self._slot)

    def run(self) -> None:
        """Work in the calling thread until `stop`."""
        results = ResultBuffer(self._report, lambda: self._closed, join=record_parts, report=self._report_events)
        executor = Executor(self._app, self._hostname, results)
        if threading.current_thread() is threading.main_thread():
            self._main = threading.get_ident()
            soft_limits.install()
        signals.worker_process_init.send(sender=self._hostname)
        job: Job | None = None
        try:
            with loop_kept():
                while (job := job or self._take()) is not None:
                    if job.announce:
                        job.began_at = time.monotonic()
                        self._post(self._listener.on_begun, self._slot, job.seq, time.time())
                    outcome = executor.execute(job)
                    job = self._try_take()
                    results.finish(outcome, more=job is not None)
        except BaseException as exc:
            self._closed = True
            results.flush()
            if job is not None:
                self._post(self._on_ended, job.seq, describe_exit(exc))
            raise
        else:
            # Who is told to leave the process does not wait for a store that may be down.
            results.close()
        finally:
            self._gone.set()
            signals.worker_process_shutdown.send(sender=self._hostname, pid=os.getpid(), exitcode=0)

    def _take(self) -> Job | None:
        """Wait for a job; None when the pool is stopping."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            return self._jobs.popleft() if self._jobs else None

    def _try_take(self) -> Job | None:
        try:
            return self._jobs.popleft()
        except IndexError:
            return None

    def _report(self, outcomes: list[Outcome]) -> None:
        self._post(self._on_outcomes, [(o.seq, o.kind, o.runtime, o.detail) for o in outcomes])

    def _report_events(self, events: list[ReportedEvent]) -> None:
        self._post(self._listener.on_events, events)

    def _post(self, function: Any, *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            # The loop is closed: the worker is gone, and the messages will be delivered again.
            return

    def _on_outcomes(self, outcomes: list[Any]) -> None:
        for outcome in outcomes:
            self._slot.assigned.pop(outcome[0], None)
        self._listener.on_outcomes(self._slot, outcomes)

    def _on_ended(self, seq: int, reason: str) -> None:
        """A task ended the main thread, and with it the worker."""
        slot = self._slot
        slot.ready = False
        unbegun = [other for other in slot.assigned if other != seq]
        slot.assigned.clear()
        self._listener.on_slot_lost(slot, [seq], [], unbegun, reason)
        self._listener.on_pool_failed(f"a task ended the worker's main thread: {reason}")

    def submit(self, slot: Slot, jobs: Sequence[Job]) -> None:
        for job in jobs:
            slot.assigned[job.seq] = job
        slot.started_jobs += len(jobs)
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify()

    def room(self, slot: Slot) -> int | None:
        """Jobs a slot may still be given; None is any number."""
        return None

    def recall(self, slot: Slot) -> list[int]:
        recalled: list[int] = []
        while (job := self._try_take()) is not None:
            recalled.append(job.seq)
            slot.assigned.pop(job.seq, None)
        return recalled

    def interrupt(self, slot: Slot, number: int, reason: str | None = None) -> bool:
        return False

    def resize(self, size: int) -> None:
        if size != 1:
            raise ValueError("the solo pool runs one task at a time, and cannot be resized: use another pool")

    def restart(self, modules: Sequence[str] = (), *, reload: bool = False) -> None:
        raise ValueError("the solo pool runs tasks in the worker's own main thread, and cannot be restarted")

    def exceed(self, slot: Slot, seq: int) -> bool:
        """Raise the soft limit in the main thread, which runs the job; a signal is how to reach it."""
        if seq not in slot.assigned or self._main is None:
            return False
        signal.pthread_kill(self._main, signal.SIGUSR1)
        return True

    def terminate(self, slot: Slot, seq: int, number: int = 0, reason: str | None = None) -> bool:
        return False

    async def stop(self, *, timeout: float | None) -> None:
        self.close()
        await asyncio.to_thread(self._gone.wait, timeout)

    def close(self) -> None:
        """Let `run` return after the job it has. Safe from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def describe_exit(exc: BaseException) -> str:
    """Say how a task ended its process: ``exitcode 3``, or the exception."""
    if isinstance(exc, SystemExit):
        return f"exitcode {exc.code if isinstance(exc.code, int) else int(exc.code is not None)}"
    return type(exc).__name__
