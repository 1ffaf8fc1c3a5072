"""The contract of pools: every job is run and reported once, or taken back, whatever the pool does meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.execution.job import FAILED, SUCCEEDED, Job
from celeriac.testing.pool_app import pool_app

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from celeriac.pool.base import Pool, Slot

__all__ = ["PoolContract", "PoolEvents", "pool_app"]

#: Seconds after which something that should have happened is given up.
PATIENCE = 60.0


class PoolEvents:
    """What a pool tells its listener.

    Attributes:
        outcomes: Kind and detail by number of the job.
        begun: Numbers of the jobs announced.
        failed: Why the pool cannot go on.
    """

    def __init__(self) -> None:
        self.outcomes: dict[int, tuple[int, str | None]] = {}
        self.begun: list[int] = []
        self.failed: str | None = None

    def on_slot_ready(self, slot: Slot) -> None: ...

    def on_slot_removed(self, slot: Slot) -> None:
        assert not slot.assigned

    def on_events(self, events: Sequence[tuple[str, float, dict[str, Any]]]) -> None: ...

    def on_begun(self, slot: Slot, seq: int, at: float) -> None:
        self.begun.append(seq)

    def on_outcomes(self, slot: Slot, outcomes: Sequence[tuple[int, int, float, str | None]]) -> None:
        for seq, kind, _, detail in outcomes:
            assert seq not in self.outcomes, f"job {seq} was reported twice"
            self.outcomes[seq] = kind, detail

    def on_slot_lost(
        self, slot: Slot, running: Sequence[int], finished: Sequence[int], unbegun: Sequence[int], reason: str
    ) -> None:
        raise AssertionError(f"slot {slot.index} was lost: {reason}")

    def on_pool_failed(self, reason: str) -> None:
        self.failed = reason


def make_job(seq: int, task: str, *args: Any, announce: bool = False) -> Job:
    """A job for a task of `pool_app`."""
    headers = {"task": task, "id": f"id-{seq}", "lang": "py", "ignore_result": True}
    body = json.dumps([args, {}, {}]).encode()
    return Job(seq, headers, {}, body, "application/json", "utf-8", {}, announce=announce)


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        await asyncio.sleep(0.005)


class PoolContract:
    """What every pool does. Subclasses provide the fixture `make_pool`."""

    @pytest.fixture
    def make_pool(self) -> Callable[[], Pool]:
        """Makes a pool that runs two tasks of `pool_app` at once, or as many as it can."""
        raise NotImplementedError("a subclass of PoolContract provides the fixture `make_pool`")

    @pytest.fixture
    def run(
        self, make_pool: Callable[[], Pool]
    ) -> Callable[[Callable[[Pool, PoolEvents], Coroutine[Any, Any, None]]], None]:
        """Runs a scenario with a pool whose slots are ready, and ends the pool."""

        async def within(scenario: Callable[[Pool, PoolEvents], Coroutine[Any, Any, None]]) -> None:
            pool, events = make_pool(), PoolEvents()
            await pool.start(events)
            try:
                await until(lambda: all(slot.ready for slot in pool.slots), "every slot is ready")
                await scenario(pool, events)
            finally:
                await pool.stop(timeout=PATIENCE)
            assert events.failed is None

        return lambda scenario: asyncio.run(within(scenario))

    def test_every_job_is_run_and_reported_once(self, run: Callable[..., None]) -> None:
        async def scenario(pool: Pool, events: PoolEvents) -> None:
            slot = pool.slots[0]
            pool.submit(slot, [make_job(seq, "fail" if seq % 3 == 0 else "succeed") for seq in range(1, 31)])
            await until(lambda: len(events.outcomes) == 30, "every job is reported")
            assert {seq for seq, (kind, _) in events.outcomes.items() if kind == FAILED} == set(range(3, 31, 3))
            assert events.outcomes[3] == (FAILED, "ValueError('on purpose')")
            assert events.outcomes[1] == (SUCCEEDED, None)
            assert not slot.assigned

        run(scenario)

    def test_begin_is_announced_where_that_is_asked_for(self, run: Callable[..., None]) -> None:
        async def scenario(pool: Pool, events: PoolEvents) -> None:
            pool.submit(pool.slots[0], [make_job(1, "succeed", announce=True), make_job(2, "succeed")])
            await until(lambda: len(events.outcomes) == 2, "both are reported")
            assert events.begun == [1]

        run(scenario)

    def test_job_is_begun_or_recalled_and_never_both(self, run: Callable[..., None], tmp_path: Path) -> None:
        async def scenario(pool: Pool, events: PoolEvents) -> None:
            slot, gate = pool.slots[0], tmp_path / "gate"
            began = [tmp_path / f"began{n}" for n in range(slot.capacity)]
            running = [make_job(seq, "wait", str(path), str(gate)) for seq, path in enumerate(began, 1)]
            waiting = [make_job(seq, "succeed") for seq in range(100, 110)]
            pool.submit(slot, [*running, *waiting])
            await until(lambda: all(path.exists() for path in began), "the slot is full")
            assert sorted(pool.recall(slot)) == [job.seq for job in waiting]
            assert sorted(slot.assigned) == [job.seq for job in running]
            pool.submit(slot, waiting[:3])
            gate.touch()
            await until(lambda: not slot.assigned, "the slot is empty")
            assert sorted(events.outcomes) == [*(job.seq for job in running), 100, 101, 102]

        run(scenario)

    def test_stop_waits_for_what_runs(self, run: Callable[..., None], tmp_path: Path) -> None:
        async def scenario(pool: Pool, events: PoolEvents) -> None:
            began, gate = tmp_path / "began", tmp_path / "gate"
            pool.submit(pool.slots[0], [make_job(1, "wait", str(began), str(gate))])
            await until(began.exists, "the job runs")
            stopping = asyncio.ensure_future(pool.stop(timeout=PATIENCE))
            await asyncio.sleep(0)
            assert not stopping.done()
            gate.touch()
            await stopping
            await until(lambda: events.outcomes == {1: (SUCCEEDED, None)}, "it is reported")

        run(scenario)

    def test_size_changes_while_jobs_run(self, run: Callable[..., None], tmp_path: Path) -> None:
        async def scenario(pool: Pool, events: PoolEvents) -> None:
            began, gate, size = tmp_path / "began", tmp_path / "gate", pool.size
            pool.submit(pool.slots[0], [make_job(1, "wait", str(began), str(gate))])
            await until(began.exists, "the job runs")
            try:
                pool.resize(size + 1)
            except ValueError:
                gate.touch()
                await until(lambda: events.outcomes, "it is reported")
                return
            assert pool.size == size + 1
            await until(lambda: sum(slot.capacity for slot in pool.slots if slot.ready) == size + 1, "it has grown")
            pool.resize(1)
            gate.touch()
            await until(lambda: sum(slot.capacity for slot in pool.slots) == 1, "it has shrunk")
            assert events.outcomes == {1: (SUCCEEDED, None)}

        run(scenario)
