"""Consumers hand messages to callbacks, which settle them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.broker import Exchange, Queue
from celeriac.exceptions import ContentDisallowed, ImproperlyConfigured
from celeriac.message import Destination, Publication
from celeriac.message import Message as RawMessage
from celeriac.messaging import Consumer, Message
from celeriac.messaging.message import MessageStateError
from tests.support.servers import unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.app.connection import Connection

QUEUE = Queue("parcels", Exchange("parcels"), "parcels")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Celery("unit", broker=f"memory://{unique('m')}", set_as_current=False) as app, app.connection() as connection:
        yield connection


@pytest.fixture
def send(connection: Connection) -> Callable[..., None]:
    def send(value: Any, content_type: str = "application/json", queue: Queue = QUEUE) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        message = RawMessage(body, content_type, "utf-8", {"kind": "parcel"}, {"priority": 3})
        connection.session.publish_many([Publication(message, Destination("", queue.name, queue))])

    return send


def waiting(connection: Connection) -> int:
    return connection.session.depths([QUEUE.name])[QUEUE.name]


def reasons(connection: Connection) -> list[str]:
    return [letter.reason for letter in connection.session.dead_letters()]


def test_callbacks_get_the_decoded_body_and_the_message(connection: Connection, send: Callable[..., None]) -> None:
    got: list[tuple[Any, Message]] = []

    def first(body: Any, message: Message) -> None:
        got.append((body, message))
        message.ack()

    send({"to": "Ann"})
    with Consumer(connection, [QUEUE], callbacks=[first], accept=["json"]) as consumer:
        assert consumer.consuming_from(QUEUE)
        connection.drain_events(timeout=5)
    [(body, message)] = got
    assert body == {"to": "Ann"}
    assert (message.headers, message.content_type, message.acknowledged) == (
        {"kind": "parcel"},
        "application/json",
        True,
    )
    assert (message.delivery_info["queue"], message.delivery_info["priority"]) == ("parcels", 3)
    assert not consumer.consuming_from(QUEUE)
    assert waiting(connection) == 0


def test_a_message_is_settled_once(connection: Connection, send: Callable[..., None]) -> None:
    def twice(body: Any, message: Message) -> None:
        message.ack()
        with pytest.raises(MessageStateError, match="was settled: ACK"):
            message.reject()

    send(1)
    with Consumer(connection, QUEUE, callbacks=[twice]):
        connection.drain_events(timeout=5)
    assert reasons(connection) == []


def test_a_requeued_message_comes_again(connection: Connection, send: Callable[..., None]) -> None:
    seen: list[Any] = []

    def once(body: Any, message: Message) -> None:
        seen.append(message.delivery_info["redelivered"])
        if len(seen) == 1:
            message.reject(requeue=True)
        else:
            message.ack()

    send(1)
    with Consumer(connection, QUEUE, callbacks=[once]):
        connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)
    assert seen == [False, True]


def test_a_rejected_message_is_gone(connection: Connection, send: Callable[..., None]) -> None:
    send(1)
    with Consumer(connection, QUEUE, on_message=lambda message: message.reject()):
        connection.drain_events(timeout=5)
    assert waiting(connection) == 0
    assert reasons(connection) == []


def test_acknowledging_several_settles_those_before(connection: Connection, send: Callable[..., None]) -> None:
    got: list[Message] = []
    for number in range(3):
        send(number)
    with Consumer(connection, QUEUE, on_message=got.append):
        while len(got) < 3:
            connection.drain_events(timeout=5)
        got[1].ack(multiple=True)
        assert list(connection.consuming.unsettled.values()) == [got[2].delivery]


def test_what_is_not_settled_returns_when_the_connection_is_closed(
    connection: Connection, send: Callable[..., None]
) -> None:
    send(1)
    with Consumer(connection, QUEUE, on_message=lambda message: None):
        connection.drain_events(timeout=5)
    assert waiting(connection) == 0
    connection.close()
    assert waiting(connection) == 1


def test_a_message_whose_callback_raises_is_set_aside(connection: Connection, send: Callable[..., None]) -> None:
    def fail(body: Any, message: Message) -> None:
        raise RuntimeError("no address")

    send(1)
    with Consumer(connection, QUEUE, callbacks=[fail]):
        connection.drain_events(timeout=5)
    assert reasons(connection) == ["a callback raised RuntimeError: no address"]


def test_what_is_not_accepted_is_not_decoded(connection: Connection, send: Callable[..., None]) -> None:
    got: list[Exception] = []

    def on_decode_error(message: Message, exc: Exception) -> None:
        got.append(exc)
        message.ack()

    send(b"!!int 1", "application/x-yaml")
    with Consumer(connection, QUEUE, callbacks=[lambda body, message: None], on_decode_error=on_decode_error):
        connection.drain_events(timeout=5)
    assert isinstance(got[0], ContentDisallowed)
    send(b"!!int 1", "application/x-yaml")
    with Consumer(connection, QUEUE, callbacks=[lambda body, message: None]):
        connection.drain_events(timeout=5)
    assert "ContentDisallowed" in reasons(connection)[0]


def test_without_acknowledgement_a_message_is_settled_when_it_comes(
    connection: Connection, send: Callable[..., None]
) -> None:
    states: list[bool] = []
    send(1)
    with Consumer(connection, QUEUE, no_ack=True, on_message=lambda message: states.append(message.acknowledged)):
        connection.drain_events(timeout=5)
    assert states == [True]
    assert connection.consuming.unsettled == {}


def test_a_prefetch_count_bounds_what_is_unsettled(connection: Connection, send: Callable[..., None]) -> None:
    got: list[Message] = []
    for number in range(5):
        send(number)
    with Consumer(connection, QUEUE, on_message=got.append, prefetch_count=2):
        connection.drain_events(timeout=5)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)
        assert len(got) == 2
        got[0].ack()
        connection.drain_events(timeout=5)
    assert len(got) == 3


def test_nothing_within_the_timeout_is_a_timeout_error(connection: Connection) -> None:
    with Consumer(connection, QUEUE, on_message=lambda message: None), pytest.raises(TimeoutError, match="0"):
        connection.drain_events(timeout=0)


def test_queues_are_shared_out_between_consumers(connection: Connection, send: Callable[..., None]) -> None:
    other = Queue("letters")
    got: dict[str, list[Any]] = {"parcels": [], "letters": []}

    def into(name: str) -> Callable[[Any, Message], None]:
        def callback(body: Any, message: Message) -> None:
            got[name].append(body)
            message.ack()

        return callback

    send("p")
    send("l", queue=other)
    channel = connection.channel()
    with Consumer(channel, QUEUE, callbacks=[into("parcels")]), Consumer(channel, other, callbacks=[into("letters")]):
        while not (got["parcels"] and got["letters"]):
            connection.drain_events(timeout=5)
    assert got == {"parcels": ["p"], "letters": ["l"]}
    channel.close()


def test_what_cannot_be_consumed_is_refused(connection: Connection) -> None:
    with pytest.raises(ImproperlyConfigured, match="nothing to consume"):
        Consumer(connection).consume()
    with pytest.raises(ImproperlyConfigured, match="no_declare"):
        Consumer(connection, QUEUE, auto_declare=False)
    with pytest.raises(ImproperlyConfigured, match="names"):
        Consumer(connection, Queue(""))


def test_a_consumer_can_be_changed_and_emptied(connection: Connection, send: Callable[..., None]) -> None:
    send(1)
    consumer = Consumer(connection)
    consumer.add_queue(QUEUE)
    consumer.qos(prefetch_count=7)
    consumer.declare()
    assert (consumer.prefetch_count, consumer.purge()) == (7, 1)
    consumer.consume()
    consumer.cancel_by_queue("parcels")
    assert not consumer.consuming_from("parcels")
    assert repr(consumer) == "<Consumer: >"
