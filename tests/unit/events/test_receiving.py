"""Dispatchers, receivers and what travels between them, in this process."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.app.events import Events
from celeriac.broker.topology import Queue
from celeriac.events import Event
from celeriac.events.state import State
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.message import Destination, Message, Publication
from celeriac.utils.nodenames import anon_nodename
from tests.support import PATIENCE
from tests.support.events import Listener

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def listener(app: Celery) -> Iterator[Listener]:
    listener = Listener(app)
    yield listener
    listener.close()


def test_an_event_arrives_with_its_fields(app: Celery, listener: Listener) -> None:
    with app.events.default_dispatcher("me@here") as dispatcher:
        dispatcher.send("task-progress", uuid="u", percent=5)
    event = listener.wait("task-progress")
    assert list(event) == [
        "hostname", "utcoffset", "pid", "clock", "uuid", "percent", "timestamp", "type", "local_received"
    ]  # fmt: skip
    assert (event["hostname"], event["pid"], event["percent"]) == ("me@here", os.getpid(), 5)
    assert event["clock"] <= app.clock.value


def test_a_blind_event_has_no_clock_of_its_sender(app: Celery) -> None:
    with app.connection() as connection:
        receiver = app.events.Receiver(connection)
        before = app.clock.value
        body: dict[str, Any] = {"type": "x-y", "clock": None, "timestamp": 1.0, "utcoffset": 0.0}
        assert receiver.event_from_message(body)[1]["clock"] == before + 1


def test_clocks_go_beyond_those_of_senders(app: Celery) -> None:
    with app.connection() as connection:
        receiver = app.events.Receiver(connection)
        receiver.event_from_message({"type": "worker-online", "clock": 500, "timestamp": 1.0})
        assert app.clock.value == 501
        sent = receiver.event_from_message({"type": "task-sent", "clock": 9000, "timestamp": 1.0})[1]
        assert sent["clock"] == 500


def test_times_are_moved_by_the_difference_of_time_zones(app: Celery) -> None:
    here = -time.localtime().tm_gmtoff / 3600
    with app.connection() as connection:
        receiver = app.events.Receiver(connection)
        body = {"type": "x-y", "clock": 1, "timestamp": 10_000.0, "utcoffset": here + 2}
        assert receiver.event_from_message(dict(body))[1]["timestamp"] == 10_000.0 - 7200
        assert receiver.event_from_message(dict(body), localize=False)[1]["timestamp"] == 10_000.0


def test_handlers_are_chosen_by_type(app: Celery) -> None:
    seen: list[str] = []
    with app.connection() as connection:
        receiver = app.events.Receiver(
            connection, {"task-sent": lambda event: seen.append("sent"), "*": lambda event: seen.append("other")}
        )
        receiver.process("task-sent", {})
        receiver.process("task-received", {})
        app.events.Receiver(connection, {"a-b": lambda event: seen.append("no")}).process("c-d", {})
    assert seen == ["sent", "other"]


def test_capture_ends_at_its_limits(app: Celery) -> None:
    with app.connection() as connection:
        app.events.Receiver(connection).capture(timeout=0.05)
        assert list(app.events.Receiver(connection).itercapture(timeout=0)) == []

    def keep_sending() -> None:
        while not done.is_set():
            with app.events.default_dispatcher() as dispatcher:
                dispatcher.send("a-b")

    done = threading.Event()
    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        with app.connection() as connection:
            batches = list(app.events.Receiver(connection).itercapture(limit=2, timeout=PATIENCE))
    finally:
        done.set()
        sender.join()
    assert [[event["type"] for event in batch] for batch in batches] == [["a-b"], ["a-b"]]


def test_a_receivers_queue_is_made_of_settings(app: Celery) -> None:
    app.conf.update(event_queue_prefix="mon", event_queue_ttl=7, event_queue_expires=8, event_exchange="happenings")
    with app.connection() as connection:
        queue = app.events.Receiver(connection, routing_key="task.#", node_id="n").queue
        assert (queue.name, queue.message_ttl, queue.expires, queue.routing_key) == ("mon.n", 7, 8, "task.#")
        assert (queue.exclusive, queue.durable, queue.auto_delete, queue.no_ack) == (True, False, True, True)
        assert queue.exchange is not None
        assert (queue.exchange.name, queue.exchange.type) == ("happenings", "topic")
        own = app.events.Receiver(connection, queue_exclusive=False, queue_durable=True, queue_ttl=1, queue_prefix="x")
        assert (own.queue.durable, own.queue.exclusive, own.queue.auto_delete) == (True, False, False)
        assert own.queue.name.startswith("x.")


def test_a_queue_cannot_be_exclusive_and_durable(app: Celery) -> None:
    app.conf.event_queue_durable = True
    with app.connection() as connection, pytest.raises(ImproperlyConfigured, match="event_queue_exclusive"):
        app.events.Receiver(connection)


def test_what_is_no_event_is_passed_over(app: Celery, listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    exchange = Queue("", listener.exchange)
    session = app.broker.connect()
    for body in (b"{", b'[1, {}, {"type": 5}]', b"7"):
        message = Message(body, "application/json", "utf-8", {}, {})
        session.publish_many([Publication(message, Destination("celeryev", "task.multi", exchange))])
    session.close()
    with app.events.default_dispatcher() as dispatcher:
        dispatcher.send("after-all")
    listener.wait("after-all")
    assert {event["type"] for event in listener.events} == {"probe-sent", "after-all"}
    assert "An event cannot be read" in caplog.text


def test_groups_and_turning_off(app: Celery, listener: Listener) -> None:
    dispatcher = app.events.Dispatcher(hostname="d", groups=["worker"])
    dispatcher.send("task-left-out")
    calls: list[str] = []
    dispatcher.on_enabled.add(lambda: calls.append("on"))
    dispatcher.on_disabled.add(lambda: calls.append("off"))
    dispatcher.disable()
    dispatcher.disable()
    dispatcher.send("worker-left-out")
    dispatcher.enable()
    dispatcher.send("worker-here")
    assert calls == ["off", "on"]
    assert listener.wait("worker-here")["hostname"] == "d"
    assert not [event for event in listener.events if "left-out" in event["type"]]


def test_buffered_events_go_together(app: Celery) -> None:
    sent: list[str] = []
    batches: list[list[dict[str, Any]]] = []
    with app.connection() as connection:
        receiver = app.events.Receiver(connection)
        connection.session.consume([receiver.queue])
        dispatcher = app.events.Dispatcher(
            buffer_group=["task"], buffer_limit=3, on_send_buffered=lambda: sent.append("sent")
        )
        for number in range(4):
            dispatcher.send("task-done", uuid=str(number))
        assert sent == ["sent"]
        dispatcher.flush()
        dispatcher.flush()
        batches += receiver.itercapture(limit=2, timeout=PATIENCE, wakeup=False)
    assert [[event["uuid"] for event in batch] for batch in batches] == [["0", "1", "2"], ["3"]]
    assert sent == ["sent", "sent"]


def test_publish_goes_out_whatever_is_off(app: Celery, listener: Listener) -> None:
    dispatcher = app.events.Dispatcher(enabled=False)
    with app.connection_for_write() as connection:
        dispatcher.publish("x-published", {"a": 1}, producer=connection, blind=True)
    event = listener.wait("x-published")
    assert (event["a"], event["hostname"]) == (1, anon_nodename())


def test_a_broker_out_of_reach_costs_nothing_that_is_kept(monkeypatch: pytest.MonkeyPatch, app: Celery) -> None:
    listener = Listener(app)
    dispatcher = app.events.Dispatcher()
    other = app.events.Dispatcher()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as patched:
        patched.setattr(type(app.publisher), "publish_many", refuse)
        dispatcher.send("x-first")
        other.send("x-second")
        with pytest.raises(OperationalError), app.events.default_dispatcher() as strict:
            strict.send("x-never")
    dispatcher.extend_buffer(other)
    dispatcher.flush()
    listener.wait("x-second")
    listener.wait("x-first")
    listener.close()


def test_a_task_outside_of_a_worker_sends_events(app: Celery, listener: Listener) -> None:
    @app.task(bind=True)
    def work(self: Any) -> None:
        self.send_event("task-progress", percent=1)

    result = work.apply(throw=True)
    assert listener.wait("task-progress", uuid=result.id)["percent"] == 1


def test_calls_are_announced_when_asked(app: Celery, listener: Listener) -> None:
    @app.task(name="add")
    def add(x: int, y: int) -> int:
        return x + y

    add.delay(1, 2)
    app.conf.task_send_sent_event = True
    first = add.apply_async((3, 4), queue="other")
    event = listener.wait("task-sent", uuid=first.id)
    assert (event["name"], event["args"], event["queue"], event["hostname"]) == (
        "add", "(3, 4)", "other", anon_nodename()
    )  # fmt: skip
    many = app.publish_many([add.s(1, 1), add.s(2, 2)])
    for result in many:
        listener.wait("task-sent", uuid=result.id)
    assert len([event for event in listener.events if event["type"] == "task-sent"]) == 3


def test_an_event_by_itself() -> None:
    event = Event("a-b", {"x": 1}, y=2)
    assert (event["x"], event["y"], event["type"]) == (1, 2, "a-b")
    assert isinstance(event["timestamp"], float)


class OwnState(State):
    """A state."""


class OwnEvents(Events):
    """Events that make it."""

    state_cls = OwnState


def test_classes_may_be_replaced(unique_name: str) -> None:
    with Celery(events=OwnEvents, broker=f"memory://{unique_name}") as app:
        assert type(app.events).__name__ == "OwnEvents"
        assert type(app.events.State()).__name__ == "OwnState"


def test_connections_say_where_they_lead(app: Celery) -> None:
    with app.connection() as connection:
        assert not connection.connected
        assert connection.ensure_connection().connected
        assert connection.as_uri() == app.broker.url
        assert connection.clone() is not connection
        connection.release()
        assert not connection.connected
    assert app.connection("memory://elsewhere").as_uri() == "memory://elsewhere"


def test_ensuring_a_connection_gives_up_when_told(app: Celery) -> None:
    seen: list[float] = []
    with app.connection("redis://127.0.0.1:1/0") as connection, pytest.raises(OperationalError):
        connection.ensure_connection(
            lambda exc, pause: seen.append(pause), max_retries=2, interval_start=0, interval_step=0.01
        )
    assert seen == [0, 0.01]
