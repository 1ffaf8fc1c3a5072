"""Scenario of tasks that only wait: coroutines and greenlets on Redis, a thousand and ten thousand at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.run import NO_PROGRESS, WARM_TASKS

if TYPE_CHECKING:
    from bench.job import Job, Metrics
    from bench.run import Run

SLEEPERS = 1_000
SECONDS = 1.0
#: So long that all of them have begun before the first one ends.
LONG_SECONDS = 40.0


def async_sleep(job: Job) -> tuple[Metrics, list[str]]:
    """A thousand tasks of one second, from letting the worker go to the last; memory while all that fit sleep."""
    capacity = int(job.variant.env["BENCH_SLEEPERS"])
    first, second = WARM_TASKS, WARM_TASKS + SLEEPERS
    with job.run(second + capacity) as run:
        run.warm_up()
        tree = run.tree
        idle = tree.memory()
        together = _sleep(run, first, SLEEPERS, SECONDS)
        seconds = (max(run.marks.times(first, second)) - together) / 1e9
        began = _sleep(run, second, capacity, LONG_SECONDS, wait=False)
        most = idle
        while time.monotonic() - began / 1e9 < LONG_SECONDS:
            time.sleep(0.5)
            most = max(most, tree.memory(), key=lambda memory: memory.rss)
        run.note_losses(run.wait_marks(second, second + capacity, patience=LONG_SECONDS + NO_PROGRESS), capacity)
        times = run.marks.times(second, second + capacity)
        metrics = {
            "seconds": seconds,
            "rss_idle": idle.rss,
            "rss_sleeping": most.rss,
            "pss_sleeping": most.pss,
            "sleeping": capacity,
            # Less than the sleep: the last began before the first ended, so that all slept at once.
            "spread_s": (max(times) - min((at for at in times if at), default=0)) / 1e9,
        }
    return metrics, run.problems


def _sleep(run: Run, start: int, count: int, seconds: float, *, wait: bool = True) -> int:
    """Have a frozen worker find tasks; gives when it was let go."""
    run.tree.freeze()
    run.client("sleep", start=start, count=count, seconds=seconds)
    thawed_at = run.tree.thaw()
    if wait:
        run.note_losses(run.wait_marks(start, start + count), count)
    return thawed_at
