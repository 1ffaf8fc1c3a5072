"""The events of workers and their tasks, on every transport, as a listener receives them."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.events import Listener
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.worker import RunningWorker

#: What every event of a worker has.
COMMON = {"hostname", "utcoffset", "pid", "clock", "timestamp", "type", "local_received"}
STATE = COMMON | {"freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"}


@pytest.fixture(scope="module")
def watched(transport: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workshop, Listener]]:
    """A workshop with one running worker that sends events, and a listener that was there before it."""
    conf = {**transport, "task_send_sent_event": True}
    workshop = Workshop(conf, tmp_path_factory.mktemp("watched"))
    listener = Listener(workshop.app)
    try:
        worker = workshop.start(task_events=True, heartbeat_interval=0.5)
        yield workshop, listener
        _leaves(worker, listener)
    finally:
        listener.close()
        workshop.close()


def _leaves(worker: RunningWorker, listener: Listener) -> None:
    """The worker says that it leaves."""
    assert worker.alive, worker.log[-4000:]
    assert worker.stop(signal.SIGTERM) == 0, worker.log[-4000:]
    assert set(listener.wait("worker-offline", hostname="w0@test")) == STATE
    assert "events cannot be published" not in worker.log.lower()


def test_a_worker_says_that_it_is_there(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    online = listener.wait("worker-online", hostname="w0@test")
    assert set(online) == STATE
    assert (online["freq"], online["active"], online["pid"]) == (0.5, 0, workshop.workers[0].pid)
    beat = listener.wait("worker-heartbeat", hostname="w0@test")
    assert set(beat) == STATE
    assert beat["clock"] > online["clock"]


def test_a_task_is_sent_received_started_and_succeeds(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    result = workshop.task("add").delay(2, 3)
    done = listener.wait("task-succeeded", uuid=result.id)
    sent, received, started = (listener.wait(f"task-{how}", uuid=result.id) for how in ("sent", "received", "started"))
    assert set(sent) == COMMON | {
        "uuid", "root_id", "parent_id", "name", "args", "kwargs", "retries", "eta", "expires", "queue", "exchange",
        "routing_key",
    }  # fmt: skip
    assert sent["hostname"].startswith(f"gen{os.getpid()}@")
    assert (sent["name"], sent["args"], sent["queue"]) == ("add", "(2, 3)", workshop.app.conf.task_default_queue)
    assert set(received) == COMMON | {
        "uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"
    }  # fmt: skip
    assert (received["name"], received["args"], received["hostname"]) == ("add", "(2, 3)", "w0@test")
    assert set(started) == COMMON | {"uuid"}
    assert set(done) == COMMON | {"uuid", "result", "runtime"}
    assert done["result"] == "5"
    assert received["clock"] < started["clock"] < done["clock"]


def test_a_failure_has_its_exception_and_traceback(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    failed = listener.wait("task-failed", uuid=workshop.task("fail").delay("some text").id)
    assert set(failed) == COMMON | {"uuid", "exception", "traceback"}
    assert failed["exception"] == "ValueError('some text')"
    assert failed["traceback"].rstrip().endswith("ValueError: some text")


def test_each_attempt_of_a_retried_task_is_reported(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    result = workshop.task("retry").delay(2)
    listener.wait("task-succeeded", uuid=result.id)
    assert listener.of(result.id).count("task-retried") == 2
    assert listener.of(result.id).count("task-received") == 3
    assert set(listener.wait("task-retried", uuid=result.id)) == COMMON | {"uuid", "exception", "traceback"}


def test_a_rejected_task_is_reported(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    result = workshop.task("reject").delay(False)
    listener.wait("task-failed", uuid=result.id)
    assert listener.wait("task-rejected", uuid=result.id)["requeue"] is False
    again = workshop.task("reject").delay(True)
    listener.wait("task-succeeded", uuid=again.id)
    assert listener.of(again.id).count("task-rejected") == 2
    assert listener.wait("task-rejected", uuid=again.id)["requeue"] is True


def test_an_expired_task_is_reported_as_revoked(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    with pytest.warns(RuntimeWarning, match="in the past"):
        result = workshop.task("work").apply_async(expires=datetime.now(UTC) - timedelta(seconds=1))
    revoked = listener.wait("task-revoked", uuid=result.id)
    assert set(revoked) == COMMON | {"uuid", "terminated", "signum", "expired"}
    assert (revoked["terminated"], revoked["signum"], revoked["expired"]) == (False, None, True)
    assert "task-received" not in listener.of(result.id)


def test_an_unknown_task_is_reported_as_failed(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    result = workshop.app.send_task("nobody.knows.this")
    assert "NotRegistered" in listener.wait("task-failed", uuid=result.id)["traceback"]


def test_a_task_sends_events_of_its_own(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    result = workshop.task("tell").delay(40)
    told = listener.wait("task-progress", uuid=result.id)
    assert (told["percent"], told["hostname"]) == (40, "w0@test")


def test_a_long_task_is_reported_as_started_while_it_runs(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    gate = workshop.gate("long")
    result = workshop.task("work").delay(gate=str(gate))
    listener.wait("task-started", uuid=result.id)
    listener.wait("worker-heartbeat", hostname="w0@test", active=1)
    assert "task-succeeded" not in listener.of(result.id)
    gate.touch()
    listener.wait("task-succeeded", uuid=result.id)


def test_a_task_may_be_left_out(watched: tuple[Workshop, Listener]) -> None:
    workshop, listener = watched
    quiet, told = workshop.task("unreported").delay(), workshop.task("add").delay(1, 1)
    assert quiet.get(timeout=PATIENCE) == "unreported"
    listener.wait("task-succeeded", uuid=told.id)
    assert listener.of(quiet.id) == ["task-sent"]


@pytest.fixture
def listening(workshop: Workshop) -> Iterator[Listener]:
    listener = Listener(workshop.app)
    yield listener
    listener.close()


def test_a_task_whose_process_died_is_reported_as_failed(workshop: Workshop, listening: Listener) -> None:
    workshop.start(conf={"worker_send_task_events": True}, concurrency=1)
    result = workshop.task("die_once").delay("_exit")
    failed = listening.wait("task-failed", uuid=result.id)
    assert failed["exception"].startswith("WorkerLostError(")


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_every_pool_reports(workshop: Workshop, listening: Listener, pool: str) -> None:
    workshop.start(pool=pool, task_events=True)
    result = workshop.task("add").delay(1, 2)
    assert listening.wait("task-succeeded", uuid=result.id)["result"] == "3"
    assert sorted(listening.of(result.id)) == ["task-received", "task-started", "task-succeeded"]


def test_without_the_option_only_the_worker_is_reported(workshop: Workshop, listening: Listener) -> None:
    worker = workshop.start()
    result = workshop.task("add").delay(1, 2)
    assert result.get(timeout=PATIENCE) == 3
    assert worker.stop() == 0
    listening.wait("worker-offline", hostname="w0@test")
    assert listening.of(result.id) == []


def test_without_heartbeats_a_worker_is_silent(workshop: Workshop, listening: Listener) -> None:
    workshop.start(without_heartbeat=True).stop()
    workshop.start().stop()
    listening.wait("worker-offline", hostname="w1@test")
    assert {event["hostname"] for event in listening.events if event["type"].startswith("worker-")} == {"w1@test"}


def test_events_are_turned_on_while_the_worker_runs(workshop: Workshop, listening: Listener) -> None:
    workshop.start()
    wait_until(workshop.app.control.ping, what="the worker takes commands")
    assert workshop.app.control.enable_events(reply=True, timeout=PATIENCE) == [
        {"w0@test": {"ok": "task events enabled"}}
    ]
    result = workshop.task("add").delay(1, 2)
    listening.wait("task-succeeded", uuid=result.id)


def test_a_receiver_asks_workers_for_a_heartbeat(workshop: Workshop) -> None:
    workshop.start(heartbeat_interval=3600.0)
    wait_until(workshop.app.control.ping, what="the worker takes commands")
    with workshop.app.connection_for_read() as connection:
        receiver = workshop.app.events.Receiver(connection, routing_key="worker.#")
        events = (event for batch in receiver.itercapture(timeout=PATIENCE) for event in batch)
        beat = next(event for event in events if event["type"] == "worker-heartbeat")
    assert beat["hostname"] == "w0@test"
