"""The thread that publishes a worker's events."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.events import publisher as publishing
from celeriac.events.publisher import EventPublisher
from celeriac.exceptions import OperationalError, Unroutable
from celeriac.worker.reporting import EventOptions, EventReporter
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery
    from celeriac.message import Publication


@pytest.fixture
def sent(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the publisher hands over, decoded; ``refuse`` in the list makes it fail."""
    found: list[Any] = []

    def publish_many(items: list[Publication], **options: Any) -> None:
        if "refuse" in found:
            raise OperationalError("away")
        for item in items:
            message = item.message
            body = app.serializers.loads(
                message.body, message.content_type, message.content_encoding, app.accept_content
            )
            assert message.headers == {"hostname": "w@h"}
            assert message.properties == {"delivery_mode": 1}
            found.append((item.destination.routing_key, body))

    monkeypatch.setattr(app.publisher, "publish_many", publish_many)
    monkeypatch.setattr(publishing, "RETRY_AFTER", 0.01)
    return found


@pytest.fixture
def publisher(app: Celery) -> EventPublisher:
    return EventPublisher(app, "w@h")


def raw(type_: str, number: int = 1) -> Any:
    return number, [(type_, time.time(), {"uuid": str(number)})]


def test_events_of_tasks_go_in_lists_and_others_one_by_one(publisher: EventPublisher, sent: list[Any]) -> None:
    for type_, number in (("task-a", 1), ("task-b", 2), ("worker-x", 3), ("task-c", 4)):
        publisher.add(*raw(type_, number))
    publisher.start()
    publisher.stop(PATIENCE)
    assert [key for key, _ in sent] == ["worker.x", "task.multi"]
    assert [each["type"] for each in sent[1][1]] == ["task-a", "task-b", "task-c"]
    assert (sent[0][1]["clock"], sent[0][1]["hostname"]) == (3, "w@h")


def test_while_nobody_listens_only_that_is_asked(app: Celery, publisher: EventPublisher) -> None:
    # One to be refused, two that only ask.
    published: list[Any] = []
    listening = threading.Event()

    def publish_many(items: list[Publication], **options: Any) -> None:
        published.append([(item.message.body == b"[]", item.mandatory) for item in items])
        if not listening.is_set():
            raise Unroutable("nobody")

    app.publisher.publish_many = publish_many  # type: ignore[method-assign, assignment]
    publisher.start()
    for count in (1, 2, 3):
        publisher.add(*raw("task-a"))
        wait_until(lambda: len(published) >= count, what="it was published")  # noqa: B023 - called at once
    assert published[:3] == [[(False, True)], [(True, True)], [(True, True)]]
    listening.set()
    publisher.add(*raw("task-a"))
    publisher.stop(PATIENCE)
    assert published[-2:] == [[(True, True)], [(False, True)]]


def test_of_many_tasks_that_nobody_hears_of_only_some_are_told(
    app: Celery, publisher: EventPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = threading.Event()

    def refuse(items: list[Publication], **options: Any) -> None:
        asked.set()
        raise Unroutable("nobody")

    monkeypatch.setattr(app.publisher, "publish_many", refuse)
    monkeypatch.setattr(publishing, "UNHEARD_FOR", PATIENCE)
    # Nobody was asked yet.
    assert publisher.room(1000) == 1000
    publisher.add(*raw("task-a"))
    publisher.start()
    publisher.stop(PATIENCE)
    assert asked.is_set()
    rooms = [publisher.room(60) for _ in range(3)]
    assert rooms == [60, publishing.MAX_UNHEARD - 60, 0]
    # The answer is old: somebody may have begun to listen.
    monkeypatch.setattr(publishing, "UNHEARD_FOR", 0.0)
    wait_until(lambda: publisher.room(1000) == 1000, what="all are told of")


def test_long_lists_are_cut(publisher: EventPublisher, sent: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_BATCH", 10)
    for number in range(25):
        publisher.add(*raw("task-a", number))
    publisher.start()
    publisher.stop(PATIENCE)
    assert [len(body) for _, body in sent] == [10, 10, 5]


def test_events_wait_for_a_broker_and_keep_their_order(
    publisher: EventPublisher, sent: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    sent.append("refuse")
    publisher.start()
    publisher.add(*raw("task-a", 1))
    wait_until(lambda: "cannot be published" in caplog.text, what="an attempt failed")
    publisher.add(*raw("task-b", 2))
    sent.remove("refuse")
    wait_until(lambda: sum(len(body) for _, body in sent) == 2, what="both are published")
    publisher.stop(PATIENCE)
    assert [each["type"] for _, body in sent for each in body] == ["task-a", "task-b"]
    assert caplog.text.count("cannot be published") == 1


def test_the_oldest_are_given_up_and_leaving_does_not_wait(
    app: Celery, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_WAITING", 5)
    publisher = EventPublisher(app, "w@h")
    sent.append("refuse")
    publisher.start()
    for number in range(50):
        publisher.add(*raw("task-a", number))
    sent.remove("refuse")
    publisher.stop(PATIENCE)
    assert [each["uuid"] for _, body in sent for each in body][-1] == "49"
    sent.clear()
    sent.append("refuse")
    lost = EventPublisher(app, "w@h")
    lost.start()
    lost.add(*raw("task-a"))
    lost.stop(PATIENCE)
    assert sent == ["refuse"]


class FakeLoop:
    """Notes what is to be called later."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, function: Callable[[], None]) -> threading.Timer:
        self.later.append((delay, function))
        return threading.Timer(0, function)


class Notes:
    """A publisher that only notes."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def add(self, first: int, events: Any) -> None:
        self.events.extend((type_, at, clock, told) for clock, (type_, at, told) in enumerate(events, first))

    def stop(self, timeout: float) -> None:
        pass


def reporter(app: Celery, notes: Notes, **options: Any) -> EventReporter:
    return EventReporter(EventOptions("w@h", **options), notes, app.clock)  # type: ignore[arg-type]


def test_heartbeats_go_on(app: Celery) -> None:
    notes, loop = Notes(), FakeLoop()
    made = reporter(app, notes, heartbeat_interval=3.0)
    made.processed = 7
    made.start(loop, lambda: 2)  # type: ignore[arg-type]
    for _ in range(2):
        loop.later[-1][1]()
    made.stop()
    assert [event[0] for event in notes.events] == [
        "worker-online", "worker-heartbeat", "worker-heartbeat", "worker-offline"
    ]  # fmt: skip
    assert [delay for delay, _ in loop.later] == [3.0, 3.0, 3.0]
    assert notes.events[1][3].items() >= {"freq": 3.0, "active": 2, "processed": 7}.items()
    assert [event[2] for event in notes.events] == [1, 2, 3, 4]


def test_nothing_is_started_for_nothing(app: Celery) -> None:
    notes, loop = Notes(), FakeLoop()
    made = reporter(app, notes, heartbeat_interval=0.0)
    made.start(loop, int)  # type: ignore[arg-type]
    made.failed({"id": "u"}, ValueError("x"))
    made.revoked({"id": "u"})
    made.rejected({"id": "u"}, requeue=True)
    made.relay([("task-started", 1.0, {})])
    made.stop()
    assert (notes.events, notes.started, loop.later) == ([], 0, [])


def test_events_of_tasks_are_turned_on_and_off(app: Celery) -> None:
    notes = Notes()
    made = reporter(app, notes, heartbeat_interval=0.0)
    assert made.enable_task_events()
    assert not made.enable_task_events()
    made.revoked({"id": "u"}, terminated=True, signum=15)
    assert made.disable_task_events()
    assert not made.disable_task_events()
    made.revoked({"id": "v"})
    assert [(event[0], event[3]) for event in notes.events] == [
        ("task-revoked", {"uuid": "u", "terminated": True, "signum": 15, "expired": False})
    ]
    assert notes.started == 1


def test_a_heartbeat_can_be_asked_for(app: Celery) -> None:
    notes = Notes()
    made = reporter(app, notes, heartbeat_interval=0.0)
    made.heartbeat()
    assert [event[0] for event in notes.events] == ["worker-heartbeat"]
