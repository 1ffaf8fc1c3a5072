"""How a worker ends: what runs is finished or given back, what has not begun is given back at once."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.ledger import check_at_least_once
from tests.support.worker import is_running

if TYPE_CHECKING:
    from tests.support.worker import RunningWorker, Workshop


def begin(workshop: Workshop, name: str = "work", waiting: int = 6, **options: Any) -> tuple[RunningWorker, list[Any]]:
    """A worker with two running tasks that wait for the gate, and others that have not begun."""
    worker = workshop.start(**options)
    gate = str(workshop.gate())
    results = [workshop.task(name).delay(0, gate) for _ in range(2 + waiting)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="two tasks began")
    return worker, results


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 1)])
def test_warm_shutdown_finishes_what_runs_and_gives_the_rest_back_at_once(
    workshop: Workshop, number: int, status: int
) -> None:
    worker, results = begin(workshop)
    worker.send(number)
    wait_until(lambda: workshop.depth() == 6, what="what has not begun is back in the queue")
    assert "worker: Warm shutdown (MainProcess)" in worker.log
    assert worker.alive
    workshop.gate().touch()
    assert worker.wait() == status
    assert workshop.ledger.count("end") == 2
    assert workshop.depth() == 6
    workshop.start()
    for result in results:
        result.get(timeout=PATIENCE)
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=1)


def test_messages_given_back_are_not_charged_and_run_elsewhere_meanwhile(workshop: Workshop) -> None:
    worker, results = begin(workshop, waiting=2)
    workshop.start(conf={"task_max_deliveries": 1})
    worker.send(signal.SIGTERM)
    wait_until(lambda: workshop.ledger.count("start") == 4, what="the others began elsewhere")
    workshop.gate().touch()
    for result in results:
        result.get(timeout=PATIENCE)
    assert worker.wait() == 0


def test_warm_shutdown_of_an_idle_worker_leaves_no_process(workshop: Workshop) -> None:
    worker = workshop.start()
    children = wait_until(lambda: worker.children, what="children")
    assert worker.stop() == 0
    assert not any(map(is_running, children))


def test_quit_ends_what_runs_and_gives_everything_back(workshop: Workshop) -> None:
    worker, results = begin(workshop)
    children = worker.children
    assert worker.stop(signal.SIGQUIT) == 1
    assert "worker: Cold shutdown (MainProcess)" in worker.log
    assert "Restoring 2 unacknowledged message(s)" in worker.log
    assert not any(map(is_running, children))
    assert workshop.depth() == 8
    workshop.gate().touch()
    workshop.start()
    for result in results:
        result.get(timeout=PATIENCE)
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=2)


def test_second_interrupt_is_cold(workshop: Workshop) -> None:
    worker, _ = begin(workshop, waiting=0)
    worker.send(signal.SIGINT)
    wait_until(lambda: "Hitting Ctrl+C again" in worker.log, what="the warm shutdown began")
    worker.send(signal.SIGINT)
    assert worker.wait() == 1
    assert "worker: Cold shutdown (MainProcess)" in worker.log
    assert workshop.depth() == 2


def test_remapped_sigterm_is_cold(workshop: Workshop) -> None:
    worker, _ = begin(workshop, waiting=0, env={"REMAP_SIGTERM": "SIGQUIT"})
    assert worker.stop(signal.SIGTERM) == 1
    assert "worker: Cold shutdown (MainProcess)" in worker.log
    assert workshop.depth() == 2


def test_soft_shutdown_lets_tasks_end_within_its_time(workshop: Workshop) -> None:
    worker, results = begin(workshop, waiting=0, conf={"worker_soft_shutdown_timeout": 10 * PATIENCE})
    worker.send(signal.SIGQUIT)
    wait_until(lambda: "Initiating Soft Shutdown" in worker.log, what="the soft shutdown began")
    workshop.gate().touch()
    worker.wait()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]
    assert workshop.depth() == 0


def test_soft_shutdown_ends_tasks_after_its_time(workshop: Workshop) -> None:
    worker, _ = begin(workshop, waiting=0, conf={"worker_soft_shutdown_timeout": 0.5})
    before = time.monotonic()
    worker.stop(signal.SIGQUIT)
    assert time.monotonic() - before >= 0.5
    assert workshop.depth() == 2


def test_grace_bounds_a_warm_shutdown(workshop: Workshop) -> None:
    worker, _ = begin(workshop, waiting=0, conf={"worker_shutdown_grace": 0.5})
    before = time.monotonic()
    worker.stop(signal.SIGTERM)
    assert time.monotonic() - before >= 0.5
    assert workshop.depth() == 2


def test_early_tasks_run_to_their_end_in_a_warm_shutdown(workshop: Workshop) -> None:
    worker, results = begin(workshop, name="early", waiting=0)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.log, what="the shutdown began")
    workshop.gate().touch()
    assert worker.wait() == 0
    for result in results:
        assert result.get(timeout=PATIENCE) == result.id
    assert workshop.depth() == 0


def test_unbegun_early_tasks_are_not_lost_in_a_warm_shutdown(workshop: Workshop) -> None:
    worker, results = begin(workshop, name="early")
    worker.send(signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in worker.log, what="the shutdown began")
    workshop.gate().touch()
    assert worker.wait() == 0
    workshop.start()
    for result in results:
        result.get(timeout=PATIENCE)
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=1)


def test_shutdown_while_the_broker_is_away_ends_in_time(workshop: Workshop) -> None:
    nowhere = {"broker_url": "redis://127.0.0.1:1/0"}
    worker = workshop.start(wait=False, conf=nowhere)
    wait_until(lambda: "Cannot connect to" in worker.log, what="the worker tries to connect")
    assert worker.stop() == 0


def test_usr1_prints_the_stack_of_every_thread(workshop: Workshop) -> None:
    worker = workshop.start()
    worker.send(signal.SIGUSR1)
    wait_until(lambda: "broker_thread.py" in worker.log and "Current thread" in worker.log, what="stacks")
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


def test_signals_are_sent_once_in_the_process_they_belong_to(workshop: Workshop) -> None:
    worker = workshop.start(conf={"record_signals": True})
    result = workshop.task("add").delay(1, 1)
    result.get(timeout=PATIENCE)
    children = set(worker.children)
    worker.stop()
    in_parent = ("celeryd_init", "celeryd_after_setup", "worker_init", "worker_ready", "worker_shutting_down",
                 "worker_shutdown")  # fmt: skip
    for name in in_parent:
        assert [each["pid"] for each in workshop.ledger.records(f"signal {name}")] == [worker.pid], name
    for name in ("worker_process_init", "worker_process_shutdown"):
        assert {each["pid"] for each in workshop.ledger.records(f"signal {name}")} == children, name
    for name in ("task_prerun", "task_postrun"):
        (record,) = workshop.ledger.records(f"signal {name}", id=result.id)
        assert record["pid"] in children
    assert workshop.ledger.count("signal task_received") == 1
    (record,) = workshop.ledger.records("signal task_success")
    assert record["pid"] in children
