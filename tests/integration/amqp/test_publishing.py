"""Publishing ends with a confirm, a clear refusal or an error at the deadline; nothing vanishes in between."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import BrokerOptions, Exchange, Queue, open_broker
from celeriac.drivers.amqp import methods as m
from celeriac.exceptions import EncodeError, ImproperlyConfigured, OperationalError, PublishTimeout
from celeriac.message import Destination, Publication
from celeriac.testing.contracts.broker_subject import (
    SLACK,
    bodies,
    depth,
    fetch_count,
    new_message,
    new_queue,
    publication,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.broker import BrokerSession
    from celeriac.drivers.amqp import Channel
    from tests.integration.amqp.proxy import Proxy


@pytest.fixture
def behind(proxy: Proxy) -> Iterator[Callable[..., Any]]:
    """Opens publishing sessions through the proxy."""
    sessions: list[BrokerSession] = []

    def open_session(**options: Any) -> BrokerSession:
        sessions.append(open_broker(proxy.url, BrokerOptions(**options)).connect())
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


def test_a_silent_broker_is_a_timeout_at_the_deadline(behind: Callable[..., Any], proxy: Proxy, queue: Queue) -> None:
    session = behind()
    session.publish_many([publication(queue)])
    proxy.silent = True
    for timeout in (0.3, 0.6):
        started = time.monotonic()
        with pytest.raises(PublishTimeout, match="confirm"):
            session.publish_many([publication(queue)], timeout=timeout)
        assert timeout - 0.05 < time.monotonic() - started < timeout + SLACK


def test_a_blocked_broker_says_so(behind: Callable[..., Any], proxy: Proxy, queue: Queue) -> None:
    session = behind()
    session.publish_many([publication(queue)])
    proxy.say(m.encode_method(0, m.CONNECTION_BLOCKED, "low on memory"))
    # Taken in with the answer to something else.
    until(lambda: session.depths([queue.name]) and session._link.connection.blocked, "the client is told")
    with pytest.raises(OperationalError, match=r"blocked.*low on memory.*nothing was sent") as caught:
        session.publish_many([publication(queue)], timeout=0.3)
    assert not isinstance(caught.value, PublishTimeout)
    proxy.say(m.encode_method(0, m.CONNECTION_UNBLOCKED))
    until(lambda: session.depths([queue.name])[queue.name] == 1 and not session._link.connection.blocked, "it is over")
    session.publish_many([publication(queue)])
    assert depth(session, queue) == 2


def test_an_idle_publisher_does_not_notice_a_lost_connection(
    behind: Callable[..., Any], proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.drivers.amqp.link.IDLE", 0.0)
    session = behind()
    session.publish_many([publication(queue)])
    proxy.cut()
    until(lambda: not proxy._pairs, "the connection is gone")
    session.publish_many([publication(queue)])
    assert depth(session, queue) == 2


def test_a_queue_deleted_under_a_publisher_is_declared_again(session: BrokerSession, channel: Channel) -> None:
    queue = new_queue(exchange=Exchange(new_queue().name), routing_key="k")
    session.publish_many([publication(queue)])
    channel.queue_delete(queue.name)
    session.publish_many([publication(queue, b"1"), publication(queue, b"2")])
    assert depth(session, queue) == 2


def test_a_full_queue_refuses_by_name(session: BrokerSession) -> None:
    queue = new_queue(queue_arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    with pytest.raises(OperationalError, match=f"{queue.name}.*full"):
        session.publish_many([publication(queue) for _ in range(5)])
    assert depth(session, queue) == 2


def test_a_missing_exchange_is_named(session: BrokerSession, queue: Queue) -> None:
    item = Publication(new_message(b""), Destination("no-such-exchange", "k"))
    with pytest.raises(OperationalError, match="there is no exchange 'no-such-exchange'"):
        session.publish_many([item])
    session.publish_many([publication(queue)])
    assert depth(session, queue) == 1


def test_without_confirms_nothing_is_awaited(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    session = opened(confirm_publish=False)
    session.publish_many([publication(queue) for _ in range(1000)])
    until(lambda: depth(session, queue) == 1000, "all arrive")
    item = Publication(new_message(b""), Destination("", "no-such-queue"), mandatory=True)
    with pytest.raises(OperationalError, match="there is no queue 'no-such-queue'"):
        session.publish_many([item])


def test_the_transport_option_decides_about_confirms(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    session = opened(transport_options={"confirm_publish": False})
    session.publish_many([publication(queue)])
    assert session._link._confirming is None  # type: ignore[attr-defined]


def test_a_reply_to_nobody_is_dropped(session: BrokerSession) -> None:
    session.publish_many([Publication(new_message(b"reply"), Destination("", "gone"))])


def test_properties_amqp_does_not_know_stay_behind(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue, origin="gen1@host", delivery_info={}, message_id="m", expiration=60000)])
    (got,) = fetch_count(session, 1)
    assert got.message.properties.keys() == {"correlation_id", "message_id", "expiration", "delivery_mode"}
    assert (got.message.properties["delivery_mode"], got.message.properties["expiration"]) == (2, "60000")


@pytest.mark.parametrize(("mode", "expected"), [(1, 1), ("transient", 1), (2, 2), ("persistent", 2), (None, 2)])
def test_delivery_modes(session: BrokerSession, queue: Queue, mode: Any, expected: int) -> None:
    session.publish_many([publication(queue, delivery_mode=mode)])
    assert fetch_count(session, 1)[0].message.properties["delivery_mode"] == expected


def test_values_amqp_cannot_carry_are_encode_errors(session: BrokerSession, queue: Queue) -> None:
    item = publication(queue)
    item.message.headers["object"] = object()
    with pytest.raises(EncodeError):
        session.publish_many([item])
    session.publish_many([publication(queue, b"next")])
    assert bodies(fetch_count(session, 1)) == [b"next"]


def test_a_body_that_is_too_large_is_refused(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    with pytest.raises(ImproperlyConfigured, match="max_body_size"):
        opened(max_body_size=10).publish_many([publication(queue, b"x" * 11)])


def test_a_queue_declared_otherwise_is_explained(opened: Callable[..., BrokerSession]) -> None:
    queue = new_queue()
    opened(queue)
    other = opened()
    with pytest.raises(ImproperlyConfigured, match=rf"(?s){queue.name}.*x-max-priority.*received.*none.*task_queues"):
        other.declare([queue.but(max_priority=5)])
    other.publish_many([publication(queue)])


def test_an_exchange_declared_otherwise_is_explained(opened: Callable[..., BrokerSession]) -> None:
    name = new_queue().name
    session = opened(new_queue(exchange=Exchange(name, "topic")))
    with pytest.raises(ImproperlyConfigured, match=f"exchange '{name}' exists on the server with other attributes"):
        session.declare([new_queue(exchange=Exchange(name, "fanout"))])


def test_an_exclusive_queue_of_another_connection_is_explained(opened: Callable[..., BrokerSession]) -> None:
    queue = new_queue(exclusive=True)
    opened(queue)
    other = opened()
    with pytest.raises(OperationalError, match=f"{queue.name}.*exclusive"):
        other.declare([queue])
    assert other.depths([queue.name]) == {queue.name: 0}


def test_a_queue_without_a_name_declares_its_exchange(session: BrokerSession, channel: Channel) -> None:
    exchange = Exchange(new_queue().name, "topic")
    session.publish_many([Publication(new_message(b""), Destination(exchange.name, "k", Queue("", exchange)))])
    channel.check_exchange(exchange.name)


def test_closing_waits_until_the_server_has_read_what_was_published_unconfirmed(
    behind: Callable[..., Any], proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.drivers.amqp.link._CLOSE_TIMEOUT", 0.0)
    session = behind(confirm_publish=False)
    session.publish_many([publication(queue)])
    proxy.silent = True
    session.publish_many([publication(queue) for _ in range(299)])
    speak = threading.Timer(0.3, setattr, (proxy, "silent", False))
    speak.start()
    session.close()
    speak.join()
    # The server has read them all; its queue, a process of its own there, may still be counting.
    session = behind()
    until(lambda: depth(session, queue) == 300, "all arrived")


def test_many_messages_keep_their_order_and_the_refused_ones_are_published_once_more(
    opened: Callable[..., BrokerSession], queue: Queue, channel: Channel
) -> None:
    session = opened()
    other = new_queue()
    session.declare([queue, other])
    channel.queue_delete(other.name)
    bulk = [publication(other if number % 400 == 0 else queue, b"%d" % number) for number in range(3000)]
    session.publish_many(bulk)
    assert sorted(bodies(fetch_count(opened(other), 8)), key=int) == [b"%d" % number for number in range(0, 3000, 400)]
    arrived = bodies(fetch_count(opened(queue), 2992))
    assert arrived == [b"%d" % number for number in range(3000) if number % 400]
