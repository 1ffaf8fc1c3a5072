"""Long runs: what grows, and what goes wrong once in many times.  ``make soak`` runs them at full length."""

from __future__ import annotations

import random
import time
from statistics import linear_regression
from typing import TYPE_CHECKING

import pytest

from tests.support import PATIENCE, SLACK, wait_until
from tests.support.ledger import check_at_least_once
from tests.support.load import progress, publishing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import RunningWorker, Workshop

#: Seconds that tasks get when their worker is told to leave.
GRACE = 5.0
#: Failing tasks for each hundred that do nothing.
FAILING = 10


def work_off(workshop: Workshop, count: int) -> None:
    """Publish tasks that do nothing, and a tenth as many that fail, and wait until all have been run."""
    noop, fail = workshop.task("noop"), workshop.task("fail")
    failing = count * FAILING // 100
    mixed = (noop.s() if place % 11 else fail.s() for place in range(count + failing))
    workshop.app.publish_many(mixed, chunk=1000, results=False)
    wait_until(lambda: workshop.depth() == 0, 60 * PATIENCE, what="the queue is empty", interval=0.2)
    inspect = workshop.app.control.inspect(["w0@test"], timeout=PATIENCE)
    wait_until(lambda: not any((inspect.reserved() or {"": [1]}).values()), what="the worker holds nothing")


@pytest.mark.parametrize(
    ("count", "step", "bound"),
    [
        # Few tasks show no slope: only what is much too large.
        pytest.param(12_000, 3_000, 30_000, marks=pytest.mark.chaos("sample")),
        pytest.param(1_000_000, 50_000, 1024, marks=[pytest.mark.chaos("soak"), pytest.mark.timeout(4 * 3600)]),
    ],
)
def test_coordinator_does_not_grow(
    redis_url: str, make_workshop: Callable[..., Workshop], count: int, step: int, bound: float
) -> None:
    """The slope of its resident size stays under ``bound`` KiB for 100,000 tasks, a tenth of which fail."""
    workshop = make_workshop(redis_url, broker_lease=30.0, broker_heartbeat=120)
    worker = workshop.start(wait=False, loglevel="CRITICAL")
    wait_until(lambda: workshop.app.control.ping(destination=["w0@test"]), what="the worker answers")
    # What is imported and cached with the first tasks is no growth.
    work_off(workshop, step)
    sizes = []
    for _ in range(count // step):
        work_off(workshop, step)
        sizes.append(worker.rss_kib())
    assert worker.alive
    slope = linear_regression(range(len(sizes)), sizes).slope * 100_000 / step
    assert slope < bound, f"{slope:.0f} KiB for 100,000 tasks: {sizes}"


def replace_worker(workshop: Workshop, old: RunningWorker) -> RunningWorker:
    """Start another worker, and have the old one leave, which has its grace for that."""
    new = workshop.start()
    told = time.monotonic()
    assert old.stop() == 0, old.log[-4000:]
    assert time.monotonic() - told < GRACE + SLACK
    return new


@pytest.mark.parametrize(
    ("seconds", "every"),
    [
        pytest.param(0.0, 0.0, marks=pytest.mark.chaos("sample")),
        pytest.param(300.0, 20.0, marks=[pytest.mark.chaos("soak"), pytest.mark.timeout(1800)]),
    ],
)
def test_rolling_restarts_lose_nothing(
    redis_url: str, make_workshop: Callable[..., Workshop], seconds: float, every: float
) -> None:
    """One of two workers is replaced again and again; tasks that are longer than the grace run elsewhere then."""
    workshop = make_workshop(redis_url, broker_lease=30.0, worker_shutdown_grace=GRACE, task_max_deliveries=None)
    workers = [workshop.start(), workshop.start()]
    rng = random.Random(20)
    restarts, until, long = 0, time.monotonic() + seconds, []
    with publishing(workshop, "work", rate=100, seconds=0.01) as ids:
        while restarts < 2 or time.monotonic() < until:
            progress(workshop, rng.randrange(50))
            long.append(workshop.task("work").delay(GRACE * 1.5).id)
            workers.append(replace_worker(workshop, workers.pop(0)))
            restarts += 1
            # The interval is the load that is asked for; nothing is expected to have happened after it.
            time.sleep(every)
    everything = {*ids, *long}
    wait_until(lambda: everything <= set(workshop.ledger.by_id("end")), 3 * PATIENCE, what="every task ran")
    check_at_least_once(workshop.ledger, everything, max_starts=restarts + 1)
    started = workshop.ledger.by_id("start")
    assert sum(started[each] - 1 for each in ids) == 0
