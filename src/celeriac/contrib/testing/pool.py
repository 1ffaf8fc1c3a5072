"""Tasks in threads of the worker's own process, for workers that share its memory: brokers and results in memory."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.results import ResultBuffer
from celeriac.pool.base import Slot

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from celeriac.execution.job import Job, Outcome
    from celeriac.execution.results import ReportedEvent
    from celeriac.pool.base import PoolListener


__all__ = ["InlinePool"]


class InlinePool:
    """Runs as many tasks at once as it has threads; it can neither end one nor change its size.

    Args:
        app: The finalized application.
        hostname: Node name of the worker.
        concurrency: Tasks at once.
    """

    name = "inline"
    ends_single_jobs = False

    def __init__(self, app: Any, hostname: str, concurrency: int) -> None:
        self._app, self._hostname, self.size = app, hostname, concurrency
        self._slot = Slot(1, capacity=concurrency, pid=os.getpid())
        self._threads = ThreadPoolExecutor(concurrency, "task")
        self._futures: dict[int, Future[None]] = {}
        self._listener: PoolListener
        self._loop: asyncio.AbstractEventLoop
        self._results: ResultBuffer

    @property
    def slots(self) -> Sequence[Slot]:
        return [self._slot]

    async def start(self, listener: PoolListener) -> None:
        self._listener, self._loop = listener, asyncio.get_running_loop()
        self._results = ResultBuffer(self._report, join=record_parts, report=self._report_events)
        self._slot.ready = True
        listener.on_slot_ready(self._slot)

    def submit(self, slot: Slot, jobs: Sequence[Job]) -> None:
        for job in jobs:
            slot.assigned[job.seq] = job
            self._futures[job.seq] = self._threads.submit(self._run, job)

    def _run(self, job: Job) -> None:
        if job.announce:
            self._loop.call_soon_threadsafe(self._listener.on_begun, self._slot, job.seq, time.time())
        self._results.finish(Executor(self._app, self._hostname, self._results).execute(job), more=False)

    def _report(self, outcomes: list[Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._on_outcomes, [(o.seq, o.kind, o.runtime, o.detail) for o in outcomes])

    def _report_events(self, events: list[ReportedEvent]) -> None:
        self._loop.call_soon_threadsafe(self._listener.on_events, events)

    def _on_outcomes(self, outcomes: list[Any]) -> None:
        for outcome in outcomes:
            self._slot.assigned.pop(outcome[0], None)
            self._futures.pop(outcome[0], None)
        self._listener.on_outcomes(self._slot, outcomes)

    def recall(self, slot: Slot) -> list[int]:
        recalled = [seq for seq, future in self._futures.items() if future.cancel()]
        for seq in recalled:
            del self._futures[seq], slot.assigned[seq]
        return recalled

    def room(self, slot: Slot) -> int | None:
        """Jobs a slot may still be given; None is any number."""
        return None

    def interrupt(self, slot: Slot, number: int, reason: str | None = None) -> bool:
        return False

    def exceed(self, slot: Slot, seq: int) -> bool:
        return False

    def terminate(self, slot: Slot, seq: int, number: int = 0, reason: str | None = None) -> bool:
        return False

    def resize(self, size: int) -> None:
        raise ValueError("this pool has one size: give start_worker() another concurrency")

    def restart(self, modules: Sequence[str] = (), *, reload: bool = False) -> None:
        raise ValueError("this pool has no processes to restart")

    async def stop(self, *, timeout: float | None) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._results.close)
