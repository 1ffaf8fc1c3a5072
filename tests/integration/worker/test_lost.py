"""Tasks whose process dies: at most once where acknowledged early, a bounded number of times where late."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import WorkerLostError
from tests.integration.worker.conftest import SHORT_LEASE
from tests.support import PATIENCE, wait_until
from tests.support.ledger import check_at_least_once, check_at_most_once
from tests.support.worker import is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import Workshop

WAYS = ("SystemExit", "KeyboardInterrupt", "_exit", "segfault", "SIGKILL", "SIGTERM", "MemoryError")


@pytest.mark.parametrize("how", WAYS)
def test_late_task_that_ends_its_process_once_runs_again(workshop: Workshop, how: str) -> None:
    workshop.start()
    result = workshop.task("die").delay(how, 1)
    assert result.get(timeout=PATIENCE) == "survived"
    assert workshop.ledger.count("start", id=result.id) == 2
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


def test_task_that_always_kills_its_process_is_set_aside_after_five_deliveries(workshop: Workshop) -> None:
    workshop.start()
    errback = workshop.task("errback_published").s()
    result = workshop.task("die").apply_async(("SIGKILL",), link_error=errback)
    with pytest.raises(WorkerLostError, match=r"signal 9 \(SIGKILL\)"):
        result.get(timeout=PATIENCE)
    wait_until(lambda: workshop.ledger.count("errback published", id=result.id), what="the errback ran")
    (letter,) = wait_until(workshop.dead_letters, what="the message is among the dead letters")
    assert letter.message.headers["id"] == result.id
    assert "lost" in letter.reason
    assert workshop.ledger.count("start", id=result.id) == 5
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert workshop.ledger.count("errback published", id=result.id) == 1


def test_poisonous_task_does_not_charge_its_neighbours(workshop: Workshop) -> None:
    workshop.start()
    work = workshop.task("work")
    signatures = [work.s() for _ in range(40)]
    results = workshop.app.publish_many([*signatures[:20], workshop.task("die").s("SIGKILL"), *signatures[20:]])
    ids = [result if isinstance(result, str) else result.id for result in results or []]
    wait_until(workshop.dead_letters, what="the message is among the dead letters")
    wait_until(lambda: len(workshop.ledger.by_id("end")) == 40, what="the neighbours ran")
    assert len(workshop.dead_letters()) == 1
    starts = workshop.ledger.by_id("start")
    assert sum(count - 1 for count in starts.values()) <= 4 + 2, starts.most_common(3)
    assert not ids or set(starts) <= set(ids)


def test_early_task_that_ends_its_process_fails_and_never_runs_again(workshop: Workshop) -> None:
    workshop.start()
    result = workshop.task("die_early").delay("SIGKILL")
    with pytest.raises(WorkerLostError):
        result.get(timeout=PATIENCE)
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert workshop.ledger.count("start", id=result.id) == 1
    assert not workshop.dead_letters()


def test_celery_defaults_acknowledge_early(workshop: Workshop, make_workshop: Callable[..., Workshop]) -> None:
    celery = make_workshop(**workshop.conf, celery_defaults=True)
    celery.start()
    result = celery.task("die").delay("_exit")
    with pytest.raises(WorkerLostError, match="exitcode 7"):
        result.get(timeout=PATIENCE)
    assert celery.ledger.count("start", id=result.id) == 1


def test_late_task_without_reject_on_worker_lost_fails_at_the_first_loss(workshop: Workshop) -> None:
    workshop.start()
    result = workshop.task("die_once").delay("SIGKILL")
    with pytest.raises(WorkerLostError):
        result.get(timeout=PATIENCE)
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert workshop.ledger.count("start", id=result.id) == 1


def test_handlers_run_for_a_task_whose_process_died(workshop: Workshop) -> None:
    workshop.start(conf={"task_max_deliveries": 1})
    result = workshop.task("hooked").delay("die")
    with pytest.raises(WorkerLostError):
        result.get(timeout=PATIENCE)
    wait_until(lambda: workshop.ledger.count("hook after_return", id=result.id), what="after_return ran")
    assert workshop.ledger.count("hook on_failure", id=result.id) == 1


def test_killed_child_is_replaced(workshop: Workshop) -> None:
    worker = workshop.start(concurrency=1)
    (child,) = wait_until(lambda: worker.children, what="a child")
    assert workshop.task("pid").delay().get(timeout=PATIENCE) == child
    os.kill(child, signal.SIGKILL)
    assert workshop.task("pid").delay().get(timeout=PATIENCE) != child


def test_idle_child_that_is_killed_costs_no_delivery(workshop: Workshop) -> None:
    worker = workshop.start(concurrency=1)
    gate = workshop.gate()
    first = workshop.task("work").delay(0, str(gate))
    waiting = [workshop.task("work").delay() for _ in range(3)]
    wait_until(lambda: workshop.ledger.count("start", id=first.id), what="the task began")
    os.kill(worker.children[0], signal.SIGKILL)
    gate.touch()
    for result in (first, *waiting):
        result.get(timeout=PATIENCE)
    starts = workshop.ledger.by_id("start")
    assert starts == {first.id: 2, **{result.id: 1 for result in waiting}}


@pytest.mark.usefixtures("short_leases")
def test_late_tasks_of_a_killed_worker_run_in_another(workshop: Workshop) -> None:
    first = workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(6)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="two tasks began")
    children = first.children
    first.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, children)), what="children die with the worker")
    gate.touch()
    workshop.start()
    for result in results:
        result.get(timeout=PATIENCE)
    check_at_least_once(workshop.ledger, [result.id for result in results])
    assert sum(workshop.ledger.by_id("start").values()) == 8


@pytest.mark.usefixtures("short_leases")
def test_early_tasks_of_a_killed_worker_never_run_twice(workshop: Workshop) -> None:
    first = workshop.start()
    gate = workshop.gate()
    results = [workshop.task("early").delay(0, str(gate)) for _ in range(6)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="two tasks began")
    first.kill()
    gate.touch()
    workshop.start()
    last = workshop.task("work").delay()
    last.get(timeout=PATIENCE)
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    check_at_most_once(workshop.ledger, [*(result.id for result in results), last.id])


@pytest.mark.usefixtures("short_leases")
def test_task_longer_than_the_lease_runs_once(workshop: Workshop) -> None:
    workshop.start(concurrency=1)
    workshop.start(concurrency=1)
    result = workshop.task("work").delay(1.5 * SHORT_LEASE)
    result.get(timeout=PATIENCE)
    assert workshop.ledger.count("start", id=result.id) == 1


def test_worker_whose_spawner_dies_gives_its_messages_back_and_exits(workshop: Workshop) -> None:
    worker = workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(6)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="two tasks began")
    spawner = worker.spawner
    assert spawner is not None
    os.kill(spawner, signal.SIGKILL)
    assert worker.wait() == 1
    assert f"the spawner (pid {spawner}) died" in worker.log
    assert workshop.depth() == 6
    gate.touch()
    workshop.start()
    for result in results:
        result.get(timeout=PATIENCE)
