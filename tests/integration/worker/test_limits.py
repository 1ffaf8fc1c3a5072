"""Time limits, and children that are replaced after a number of tasks or at a size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import TimeLimitExceeded
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from tests.support.worker import Workshop


def test_soft_limit_is_raised_in_the_task_which_may_clean_up(workshop: Workshop) -> None:
    worker = workshop.start()
    result = workshop.task("soft").apply_async(soft_time_limit=0.3)
    assert result.get(timeout=PATIENCE) == "cleaned up after 0.3"
    assert "Soft time limit (0.3s) exceeded for soft" in worker.log


def test_soft_limit_of_one_task_does_not_hit_the_next(workshop: Workshop) -> None:
    workshop.start(concurrency=1)
    for _ in range(10):
        limited = workshop.task("work").apply_async((0.19,), soft_time_limit=0.2)
        following = workshop.task("work").apply_async((0.1,), soft_time_limit=PATIENCE)
        following.get(timeout=PATIENCE)
        limited.get(timeout=PATIENCE, propagate=False)


def test_hard_limit_kills_the_process_and_fails_the_task(workshop: Workshop) -> None:
    worker = workshop.start()
    errback = workshop.task("errback_published").s()
    result = workshop.task("stubborn").apply_async(time_limit=1.0, soft_time_limit=0.5, link_error=errback)
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=PATIENCE)
    assert "Hard time limit (1.0s) exceeded for stubborn" in worker.log
    wait_until(lambda: workshop.ledger.count("errback published", id=result.id), what="the errback ran")
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert workshop.ledger.count("start", id=result.id) == 1
    assert workshop.depth() == 0


def test_task_not_acknowledged_on_timeout_runs_until_its_deliveries_are_used_up(workshop: Workshop) -> None:
    workshop.start(conf={"task_max_deliveries": 3})
    result = workshop.task("stubborn_again").apply_async(time_limit=1.0)
    wait_until(workshop.dead_letters, what="the message is among the dead letters")
    assert result.state == "FAILURE"
    assert workshop.ledger.count("start", id=result.id) == 3


def test_limits_of_the_worker_hold_for_tasks_without_their_own(workshop: Workshop) -> None:
    workshop.start(time_limit=0.5)
    with pytest.raises(TimeLimitExceeded):
        workshop.task("stubborn").delay().get(timeout=PATIENCE)
    assert workshop.task("stubborn").apply_async((0.8,), time_limit=PATIENCE).get(timeout=PATIENCE) == "never"


def test_failing_task_not_acknowledged_on_failure_is_discarded(workshop: Workshop) -> None:
    workshop.start()
    result = workshop.task("fail_rejecting").delay()
    with pytest.raises(ValueError, match="on purpose"):
        result.get(timeout=PATIENCE)
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert workshop.ledger.count("start", id=result.id) == 1
    assert workshop.depth() == 0


def test_child_is_replaced_after_its_number_of_tasks_and_none_is_lost(workshop: Workshop) -> None:
    worker = workshop.start(max_tasks_per_child=7)
    for _ in range(100):
        workshop.task("work").delay()
    wait_until(lambda: workshop.ledger.count("end") >= 100, what="every task ran")
    assert worker.stop() == 0
    assert set(workshop.ledger.by_id("start").values()) == {1}
    by_child = Counter(record["pid"] for record in workshop.ledger.records("start"))
    assert max(by_child.values()) <= 7
    assert "exited with" not in worker.log
    assert workshop.depth() == 0


def test_child_is_replaced_when_it_has_grown_too_large(workshop: Workshop) -> None:
    worker = workshop.start(concurrency=1, max_memory_per_child=200 * 1024)
    small = workshop.task("keep_memory").delay(1).get(timeout=PATIENCE)
    assert workshop.task("keep_memory").delay(300).get(timeout=PATIENCE) == small
    wait_until(lambda: "worker_max_memory_per_child" in worker.log, what="the worker notices")
    # It takes tasks until its successor is ready.
    wait_until(lambda: workshop.task("keep_memory").delay(1).get(timeout=PATIENCE) != small, what="another child runs")
    wait_until(lambda: small not in worker.children, what="it is gone")
