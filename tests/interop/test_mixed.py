"""Workers of both libraries on one queue."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES
from tests.support import wait_until

if TYPE_CHECKING:
    from tests.interop.fleet import Fleet


@pytest.fixture
def queue(fleet: Fleet) -> str:
    """The queue that both consume."""
    for library in LIBRARIES:
        fleet.worker(library)
    return fleet.common_queue


def test_a_thousand_tasks_run_once_each_and_both_take_part(fleet: Fleet, queue: str) -> None:
    ids = [
        task_id
        for library in LIBRARIES
        for task_id in fleet.client(library)("send_many", "nap", 500, queue=queue, kwargs={"seconds": 0.004})
    ]
    for library in LIBRARIES:
        values = fleet.client(library)("outcomes", ids)
        assert values == [*range(500), *range(500)]
    wanted = set(ids)
    ran = [record for record in fleet.ledger.records("nap") if record["id"] in wanted]
    assert Counter(record["id"] for record in ran) == dict.fromkeys(ids, 1)
    shares = Counter(record["library"] for record in ran)
    assert set(shares) == set(LIBRARIES), shares


def test_a_task_retried_by_one_is_finished_by_the_other(fleet: Fleet, queue: str) -> None:
    ids = [
        task_id
        for library in LIBRARIES
        # Retried at once, a task may succeed elsewhere before Celery has stored RETRY for the attempt before: it
        # looks whether there is a SUCCESS, and stores then, in two steps.
        for task_id in fleet.client(library)("send_copies", "retry", 30, 3, queue=queue, kwargs={"countdown": 0.3})
    ]
    values = fleet.client(CELERIAC)("outcomes", ids)
    assert values == [[task_id, task_id, 3] for task_id in ids]
    by_task: dict[str, list[str]] = {task_id: [] for task_id in ids}
    attempts: dict[str, list[int]] = {task_id: [] for task_id in ids}
    for record in fleet.ledger.records("retry"):
        if record["id"] in by_task:
            by_task[record["id"]].append(record["library"])
            attempts[record["id"]].append(record["retries"])
    assert set(map(tuple, attempts.values())) == {(0, 1, 2, 3)}
    assert any(set(places) == set(LIBRARIES) for places in by_task.values())


def test_delayed_tasks_run_once_each_whoever_holds_them(fleet: Fleet, queue: str) -> None:
    ids = [
        task_id
        for library in LIBRARIES
        for task_id in fleet.client(library)("send_copies", "echo", 20, library, queue=queue, countdown=2.5)
    ]
    assert fleet.client(CELERY)("outcomes", ids) == [CELERY] * 20 + [CELERIAC] * 20
    wanted = set(ids)
    ran = [record["id"] for record in fleet.ledger.records("echo") if record["id"] in wanted]
    assert sorted(ran) == sorted(ids)


def test_foreign_delayed_task_is_kept_by_the_broker(fleet: Fleet) -> None:
    worker = fleet.worker(CELERIAC)
    task_id = fleet.client(CELERY).send("echo", 1, queue=fleet.queue(CELERIAC), countdown=5)
    wait_until(lambda: f"{task_id}] received: due later, kept by the broker" in worker.log, what="the deferral")
    assert fleet.client(CELERY)("outcome", task_id).value == 1
    assert fleet.ledger.count("echo", id=task_id) == 1
