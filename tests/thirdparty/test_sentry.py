"""Sentry's SDK, unmodified: traces, errors and check-ins of a worker, a client and beat of ours."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import wait_until
from tests.support.servers import unique
from tests.thirdparty.programs import run, running
from tests.thirdparty.watching import read

if TYPE_CHECKING:
    from collections.abc import Iterator


class Watched(NamedTuple):
    """What Sentry would have got.

    Attributes:
        trace: Id of the client's trace.
        ids: Of a task that succeeded, one that failed, and one that was retried.
        items: Everything.
    """

    trace: str
    ids: list[str]
    items: list[dict[str, Any]]

    def of(self, type_: str, task_id: str) -> list[dict[str, Any]]:
        """The items of a type about a task."""
        return [
            item
            for item in self.items
            if item["type"] == type_ and (item.get("tags") or {}).get("celery_task_id") == task_id
        ]


@pytest.fixture(scope="module")
def watched(kind: str, redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A worker's life: tasks of a client and of beat, and its end."""
    directory = tmp_path_factory.mktemp("sentry")
    written = directory / "items"
    env = {"SHOP_BROKER": redis, "SHOP_RESULTS": redis, "SHOP_QUEUE": unique("sentry"), "WATCHED": str(written)}
    words = ("celery", "-A", "sentried", "worker", "-l", "INFO", "-c", "1", "-n", f"{unique('w')}@sentry")
    with running(kind, *words, log=directory / "worker", ready=" ready.", env=env) as worker:
        found = json.loads(run(kind, "python", "sentried.py", env=env))
        beat = ("celery", "-A", "sentried", "beat", "--scheduler", "sentried:AtOnce", "-l", "INFO")
        with running(kind, *beat, log=directory / "beat", ready="Sending due task", env=env):
            wait_until(lambda: '"status": "ok", "duration"' in written.read_text(), what="the check-in of the worker")
        # What a child still holds is sent when it ends.
        assert worker.stop(signal.SIGTERM) == 0, worker.log
    yield Watched(found["trace"], found["ids"], read(written))


def test_the_client_and_the_worker_are_in_one_trace(watched: Watched) -> None:
    (order,) = [item for item in watched.items if item.get("transaction") == "order"]
    submits = {span["description"]: span for span in order["spans"] if span["op"] == "queue.submit.celery"}
    assert set(submits) == {"shop.add", "shop.fail", "shop.again"}
    for task_id, name in zip(watched.ids, ("shop.add", "shop.fail", "shop.again"), strict=True):
        trace = watched.of("transaction", task_id)[0]["contexts"]["trace"]
        assert (trace["trace_id"], trace["parent_span_id"]) == (watched.trace, submits[name]["span_id"])
        assert (trace["op"], trace["origin"]) == ("queue.task.celery", "auto.queue.celery")


def test_a_task_is_a_transaction_with_the_span_of_its_processing(watched: Watched) -> None:
    (transaction,) = watched.of("transaction", watched.ids[0])
    assert (transaction["transaction"], transaction["contexts"]["trace"]["status"]) == ("shop.add", "ok")
    assert transaction["extra"]["celery-job"] == {"task_name": "shop.add", "args": [2, 3], "kwargs": {}}
    (span,) = [span for span in transaction["spans"] if span["op"] == "queue.process"]
    assert span["data"]["messaging.message.id"] == watched.ids[0]
    assert span["data"]["messaging.message.retry.count"] == 0
    assert span["data"]["messaging.message.receive.latency"] > 0
    assert span["data"]["messaging.system"] == "redis"
    assert span["data"]["messaging.destination.name"].startswith("sentry")


def test_a_failure_is_one_event(watched: Watched) -> None:
    (event,) = watched.of("event", watched.ids[1])
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("ValueError", "no stock")
    assert error["mechanism"] == {"type": "celery", "handled": False}
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["contexts"]["trace"]["trace_id"] == watched.trace
    (transaction,) = watched.of("transaction", watched.ids[1])
    assert transaction["contexts"]["trace"]["status"] == "internal_error"


def test_a_retry_is_no_error(watched: Watched) -> None:
    assert watched.of("event", watched.ids[2]) == []
    first, second = watched.of("transaction", watched.ids[2])
    assert first["contexts"]["trace"]["status"] == "aborted"
    assert second["contexts"]["trace"]["status"] == "ok"
    assert second["contexts"]["trace"]["trace_id"] == watched.trace


def test_beat_and_the_worker_check_in(watched: Watched) -> None:
    begun, ended = [item for item in watched.items if item["type"] == "check_in"]
    assert (begun["monitor_slug"], begun["status"]) == ("hourly", "in_progress")
    assert (ended["check_in_id"], ended["status"]) == (begun["check_in_id"], "ok")
    assert begun["monitor_config"]["schedule"] == {"type": "crontab", "value": "0 * * * *"}
    assert ended["duration"] > 0
