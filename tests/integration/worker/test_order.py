"""What comes when: delays of foreign producers, which the worker gives back to the broker, and priorities."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE, SLACK, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.support.worker import Workshop


def foreign(workshop: Workshop, seconds: float, count: int = 1) -> list[str]:
    """Put messages into the queue at once whose header says they are due later, as Celery's clients do."""
    destination = Destination("", workshop.app.conf.task_default_queue)
    due = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    ids = [str(uuid.uuid4()) for _ in range(count)]
    items = [
        Publication(
            Message(
                json.dumps([[], {}, {}]).encode(), "application/json", "utf-8",
                {"task": "work", "id": task_id, "eta": due, "retries": 0, "lang": "py"}, {},
            ),
            destination,
        )
        for task_id in ids
    ]  # fmt: skip
    session = workshop.app.broker_for_read.connect()
    try:
        session.publish_many(items, timeout=PATIENCE)
    finally:
        session.close()
    return ids


def test_foreign_message_with_an_eta_runs_on_time(shared: Workshop) -> None:
    before = time.time()
    (task_id,) = foreign(shared, 2.5)
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    wait_until(lambda: shared.ledger.count("end", id=task_id), what="the task ran")
    (start,) = shared.ledger.records("start", id=task_id)
    assert 2.4 <= start["at"] - before <= 2.5 + SLACK


def test_messages_due_later_wait_in_the_broker_not_in_the_worker(shared: Workshop) -> None:
    (worker,) = shared.workers
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    size = worker.rss_kib()
    foreign(shared, 3600, count=3000)
    wait_until(lambda: shared.depth() == 0, what="the worker has parked them all")
    assert shared.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert worker.rss_kib() - size < 10 * 1024


def all_ran(workshop: Workshop, count: int) -> bool:
    return workshop.ledger.count("end") == count


def test_tasks_of_high_priority_go_first(
    redis_url: str, postgresql_url: str, tmp_path: Any, make_workshop: Callable[..., Workshop]
) -> None:
    """On Redis 0 is the highest priority, as in kombu; in databases the largest number is."""
    for url, low, high in ((redis_url, 9, 0), (f"sqlite:///{tmp_path}/queue.db", 0, 9), (postgresql_url, 0, 9)):
        workshop = make_workshop(broker_url=url, result_backend="disabled://")
        work = workshop.task("work")
        slow = [work.apply_async((0.001,), priority=low).id for _ in range(100)]
        fast = [work.apply_async((0.001,), priority=high).id for _ in range(10)]
        workshop.start(concurrency=1)
        wait_until(partial(all_ran, workshop, 110), what="all tasks ran")
        order = [record["id"] for record in workshop.ledger.records("start")]
        assert order[:10] == fast, url
        assert order[10:] == slow, url
