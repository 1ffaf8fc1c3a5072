"""What the pools have in common, and what is different in threads and solo."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.exceptions import TimeLimitExceeded, WorkerLostError
from tests.integration.worker.conftest import SHORT_LEASE
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.support.worker import RunningWorker, Workshop

#: Pools, and what starts them otherwise.
POOLS: dict[str, dict[str, Any]] = {
    "prefork": {},
    "spawned": {"pool": "prefork", "conf": {"worker_pool_start_method": "spawn"}},
    "threads": {},
    "solo": {},
    "gevent": {},
    "eventlet": {},
}


def start(workshop: Workshop, name: str) -> RunningWorker:
    return workshop.start(**{"pool": name, **POOLS[name]})


@pytest.mark.parametrize("pool", POOLS)
def test_tasks_of_every_outcome_in_every_pool(workshop: Workshop, pool: str) -> None:
    worker = start(workshop, pool)
    good = [workshop.task("add").delay(n, n) for n in range(200)]
    bad = workshop.task("fail").delay("broken")
    again = workshop.task("retry").delay(2)
    assert [result.get(timeout=PATIENCE) for result in good] == [2 * n for n in range(200)]
    with pytest.raises(ValueError, match="broken"):
        bad.get(timeout=PATIENCE)
    assert again.get(timeout=PATIENCE) == 2
    assert worker.stop() == 0
    assert workshop.depth() == 0


@pytest.mark.parametrize("pool", POOLS)
def test_warm_shutdown_in_every_pool(workshop: Workshop, pool: str) -> None:
    worker = start(workshop, pool)
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(5)]
    running = 1 if pool == "solo" else 2
    wait_until(lambda: workshop.ledger.count("start") == running, what="tasks began")
    worker.send(signal.SIGTERM)
    wait_until(lambda: workshop.depth() == 5 - running, what="the rest is back in the queue")
    gate.touch()
    assert worker.wait() == 0
    assert workshop.ledger.count("end") == running
    done = {record["id"] for record in workshop.ledger.records("end")}
    assert all(result.state == "SUCCESS" for result in results if result.id in done)


def test_thread_that_ends_its_task_reports_it_while_others_idle(workshop: Workshop) -> None:
    worker = workshop.start(pool="threads", concurrency=4)
    for n in range(10):
        assert workshop.task("add").delay(n, 1).get(timeout=PATIENCE) == n + 1
    # As users of Celery's threads know their one process.
    wait_until(lambda: worker.log.count("INFO/MainProcess] Task ") == 20, what="all are logged")
    assert "PoolWorker" not in worker.log


def test_threads_run_side_by_side_in_one_process(workshop: Workshop) -> None:
    workshop.start(pool="threads", concurrency=4)
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(4)]
    wait_until(lambda: workshop.ledger.count("start") == 4, what="four tasks run at once")
    gate.touch()
    for result in results:
        result.get(timeout=PATIENCE)
    assert len({record["pid"] for record in workshop.ledger.records("start")}) == 1


def test_task_that_ends_the_process_of_threads_is_bounded(workshop: Workshop) -> None:
    workshop.start(pool="threads", concurrency=3, conf={"task_max_deliveries": 2})
    result = workshop.task("die").delay("SystemExit")
    with pytest.raises(WorkerLostError):
        result.get(timeout=PATIENCE)
    assert workshop.ledger.count("start", id=result.id) == 2
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


def test_hard_limit_replaces_the_process_of_threads(workshop: Workshop) -> None:
    worker = workshop.start(pool="threads", concurrency=3)
    with pytest.raises(TimeLimitExceeded):
        workshop.task("stubborn").apply_async(time_limit=0.5).get(timeout=PATIENCE)
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert worker.alive


@pytest.mark.usefixtures("short_leases")
def test_solo_keeps_the_lease_during_a_long_task(workshop: Workshop) -> None:
    workshop.start(pool="solo")
    result = workshop.task("work").delay(1.5 * SHORT_LEASE)
    wait_until(lambda: workshop.ledger.count("start", id=result.id), what="the task began")
    workshop.start(pool="solo")
    result.get(timeout=PATIENCE)
    assert workshop.ledger.count("start", id=result.id) == 1


@pytest.mark.parametrize("how", ["SystemExit", "KeyboardInterrupt"])
def test_task_that_ends_the_solo_worker_is_charged_and_the_worker_exits(workshop: Workshop, how: str) -> None:
    conf = {"task_max_deliveries": 2}
    result = workshop.task("die").delay(how)
    for _ in range(2):
        worker = workshop.start(pool="solo", wait=False, conf=conf)
        assert worker.wait() != 0
    workshop.start(pool="solo", conf=conf)
    with pytest.raises(WorkerLostError):
        result.get(timeout=PATIENCE)
    assert workshop.ledger.count("start", id=result.id) == 2
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


@pytest.mark.parametrize("how", ["class path", "environment"])
def test_pool_of_the_users_own(workshop: Workshop, how: str) -> None:
    path = "celeriac.contrib.testing.pool:InlinePool"
    if how == "class path":
        worker = workshop.start(pool=path)
    else:
        worker = workshop.start(pool="custom", env={"CELERY_CUSTOM_WORKER_POOL": path})
    assert workshop.task("pid").delay().get(timeout=PATIENCE) == worker.pid
    with pytest.raises(ValueError, match="on purpose"):
        workshop.task("fail").delay().get(timeout=PATIENCE)
    assert worker.stop() == 0


def test_class_that_is_no_pool_is_refused_with_what_it_lacks(workshop: Workshop) -> None:
    worker = workshop.start(pool="tests.support.no_pool:NoPool", wait=False)
    assert worker.wait() != 0
    assert "lacks" in worker.log
    assert "recall" in worker.log
