"""OpenTelemetry's instrumentation of Celery, unmodified: spans and metrics of a worker and a client of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.servers import unique
from tests.thirdparty.programs import run, running
from tests.thirdparty.watching import read

if TYPE_CHECKING:
    from collections.abc import Iterator


class Traced(NamedTuple):
    """What was written down.

    Attributes:
        trace: Id of the client's trace.
        ids: Of a task that succeeded, one that failed, and one that was retried.
        runtimes: How often the run of each task was measured.
        spans: All spans of that trace.
        queue: The worker's queue.
    """

    trace: str
    ids: list[str]
    runtimes: dict[str, int]
    spans: list[dict[str, Any]]
    queue: str

    def of(self, name: str) -> list[dict[str, Any]]:
        """The spans of a name, as they began."""
        return sorted((span for span in self.spans if span["name"] == name), key=lambda span: str(span["start_time"]))


@pytest.fixture(scope="module")
def traced(kind: str, redis: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """Tasks of a client, done by a worker."""
    directory, queue = tmp_path_factory.mktemp("opentelemetry"), unique("traced")
    written = directory / "spans"
    env = {"SHOP_BROKER": redis, "SHOP_RESULTS": redis, "SHOP_QUEUE": queue, "WATCHED": str(written)}
    words = ("celery", "-A", "traced", "worker", "-l", "INFO", "-c", "1", "-n", f"{unique('w')}@traced")
    with running(kind, *words, log=directory / "worker", ready=" ready.", env=env) as worker:
        found = json.loads(run(kind, "python", "traced.py", env=env))
        spans = [span for span in read(written) if span["context"]["trace_id"] == found["trace"]]
        yield Traced(found["trace"], found["ids"], found["runtimes"], spans, queue)
        assert "no existing span found" not in worker.log


def test_a_call_and_its_run_are_in_the_trace_of_the_caller(traced: Traced) -> None:
    (order,) = traced.of("order")
    for name, task_id in zip(("add", "fail", "again"), traced.ids, strict=True):
        call, run_ = traced.of(f"apply_async/shop.{name}")[0], traced.of(f"run/shop.{name}")[0]
        assert call["parent_id"] == order["context"]["span_id"]
        assert run_["parent_id"] == call["context"]["span_id"]
        assert (call["kind"], run_["kind"]) == ("SpanKind.PRODUCER", "SpanKind.CONSUMER")
        assert call["attributes"]["messaging.message.id"] == task_id
        assert run_["attributes"]["messaging.message.id"] == task_id


def test_a_run_has_the_attributes_of_its_message(traced: Traced) -> None:
    (call,) = traced.of("apply_async/shop.add")
    assert call["attributes"]["celery.action"] == "apply_async"
    assert call["attributes"]["celery.task_name"] == "shop.add"
    assert call["attributes"]["messaging.destination"] == traced.queue
    assert call["attributes"]["messaging.destination_kind"] == "queue"
    (run_,) = traced.of("run/shop.add")
    attributes = run_["attributes"]
    assert (attributes["celery.action"], attributes["celery.state"]) == ("run", "SUCCESS")
    assert attributes["celery.task_name"] == "shop.add"
    assert attributes["messaging.destination"] == traced.queue
    assert attributes["messaging.conversation_id"] == traced.ids[0]
    assert "celery.hostname" in attributes
    assert run_["status"]["status_code"] == "UNSET"


def test_a_failure_is_an_error_with_its_exception(traced: Traced) -> None:
    (run_,) = traced.of("run/shop.fail")
    assert run_["status"] == {"status_code": "ERROR", "description": "no stock"}
    (event,) = run_["events"]
    assert event["attributes"]["exception.type"] == "ValueError"
    assert event["attributes"]["exception.message"] == "no stock"
    assert run_["attributes"]["celery.state"] == "FAILURE"


def test_a_retry_is_a_run_and_a_call_of_its_own(traced: Traced) -> None:
    first, second = traced.of("run/shop.again")
    assert first["attributes"]["celery.state"] == "RETRY"
    assert "not yet" in first["attributes"]["celery.retry.reason"]
    assert second["attributes"]["celery.state"] == "SUCCESS"
    assert second["attributes"]["celery.retries"] == 1
    _, call = traced.of("apply_async/shop.again")
    assert call["parent_id"] == first["context"]["span_id"]
    assert second["parent_id"] == call["context"]["span_id"]


def test_runs_are_measured(traced: Traced) -> None:
    assert traced.runtimes == {"shop.add": 1, "shop.fail": 1, "shop.again": 2}
