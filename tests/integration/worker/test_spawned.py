"""Children that are started by exec of a fresh interpreter, and import the application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac.exceptions import TimeLimitExceeded
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.support.worker import RunningWorker, Workshop

SPAWN = {"worker_pool_start_method": "spawn"}


def start(workshop: Workshop, **options: Any) -> RunningWorker:
    return workshop.start(conf={**SPAWN, "record_signals": True}, **options)


def test_children_are_fresh_interpreters_that_are_initialised_once_each(workshop: Workshop) -> None:
    worker = start(workshop)
    wait_until(lambda: workshop.ledger.count("signal worker_process_init") == 2, what="both are initialised")
    assert {record["pid"] for record in workshop.ledger.records("signal worker_process_init")} == set(worker.children)
    assert {record["pid"] for record in workshop.ledger.records("signal worker_init")} == {worker.pid}
    assert worker.stop() == 0
    assert workshop.ledger.count("signal worker_process_shutdown") == 2


def test_children_have_the_settings_and_logging_of_the_worker(workshop: Workshop) -> None:
    worker = workshop.start(conf=SPAWN, change={"task_default_priority": 7})
    assert workshop.task("settings").delay("task_default_priority").get(timeout=PATIENCE) == 7
    wait_until(lambda: "SpawnPoolWorker-" in worker.log and "Task settings[" in worker.log, what="it is logged")


def test_child_is_replaced_after_its_last_task_and_at_a_hard_limit(workshop: Workshop) -> None:
    start(workshop, concurrency=1, max_tasks_per_child=2)
    pids = [workshop.task("pid").delay().get(timeout=PATIENCE) for _ in range(4)]
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2]
    with pytest.raises(TimeLimitExceeded):
        workshop.task("stubborn").apply_async(time_limit=0.5).get(timeout=PATIENCE)
    assert workshop.task("soft").apply_async(soft_time_limit=0.3).get(timeout=PATIENCE) == "cleaned up after 0.3"


def test_autoscaled_children_come_when_tasks_do(workshop: Workshop) -> None:
    start(workshop, concurrency=None, autoscale=[3, 1])
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(3)]
    wait_until(lambda: workshop.ledger.count("start") == 3, what="three run at once")
    gate.touch()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_child_that_hangs_before_it_is_ready_is_replaced(workshop: Workshop, method: str) -> None:
    """The first child waits in `worker_process_init`; those after it do not."""
    conf = {"worker_pool_start_method": method, "worker_proc_alive_timeout": 15.0, "hang_once": True}
    worker = workshop.start(concurrency=1, conf=conf)
    assert workshop.task("add").delay(1, 1).get(timeout=2 * PATIENCE) == 2
    assert "not ready within worker_proc_alive_timeout=15 s" in worker.log


def test_application_without_a_name_is_refused(workshop: Workshop) -> None:
    worker = workshop.start(conf=SPAWN, wait=False, env={"CELERIAC_TEST_ANONYMOUS": "1"})
    assert worker.wait() != 0
    assert "worker_pool_start_method 'spawn' starts processes that import the application" in worker.log
