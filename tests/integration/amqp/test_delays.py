"""Delays kept by RabbitMQ reach the right queue, at the right time, with nothing lost or doubled."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import Exchange, Queue
from celeriac.broker.amqp.delay import DELIVERY_EXCHANGE, delay_route
from celeriac.exceptions import OperationalError
from celeriac.message import Destination, Publication
from celeriac.testing.contracts.broker_subject import SLACK, bodies, fetch_count, new_message, new_queue, publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker import BrokerSession
    from celeriac.drivers.amqp import Channel


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_messages_come_within_a_second_before_they_are_due(opened: Callable[..., BrokerSession], kind: str) -> None:
    queue = new_queue(queue_arguments={"x-queue-type": kind})
    session = opened(queue)
    now = time.time()
    due = {b"%d" % n: now + 1.2 + n * 0.45 for n in range(6)}
    session.publish_many([publication(queue, body, not_before=when) for body, when in due.items()])
    seen: set[bytes] = set()
    while len(seen) < len(due):
        for delivery in fetch_count(session, 1):
            body = delivery.message.body
            assert due[body] - 1.01 <= time.time() <= due[body] + SLACK
            assert (delivery.deliveries, delivery.redelivered) == (1, False)
            assert (delivery.exchange, delivery.routing_key) == ("", queue.name)
            assert not [name for name in delivery.message.headers if name.startswith("x-")]
            seen.add(body)
            session.ack_many([delivery])


def test_a_delayed_message_reaches_its_own_queue_alone(opened: Callable[..., BrokerSession]) -> None:
    short = new_queue()
    dotted = Queue(f"high.{short.name}")
    first, second = opened(short), opened(dotted)
    first.publish_many([publication(dotted, b"dotted", not_before=time.time() + 1.5)])
    first.publish_many([publication(short, b"short", not_before=time.time() + 1.5)])
    assert bodies(fetch_count(second, 1)) == [b"dotted"]
    assert bodies(fetch_count(first, 1)) == [b"short"]
    assert first.fetch(limit=5, wait=0.2) == second.fetch(limit=5, wait=0.2) == []


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout"])
def test_a_delayed_message_passes_its_exchange(opened: Callable[..., BrokerSession], kind: str) -> None:
    exchange = Exchange(new_queue().name, kind)
    queues = [new_queue(exchange=exchange, routing_key=key) for key in ("a.b", "a.b", "other")]
    sessions = [opened(queue) for queue in queues]
    item = Publication(new_message(b"x"), Destination(exchange.name, "a.b"), time.time() + 1.3)
    sessions[0].publish_many([item])
    reached = 3 if kind == "fanout" else 2
    for session in sessions[:reached]:
        (got,) = fetch_count(session, 1)
        assert (got.exchange, got.routing_key) == (exchange.name, "a.b")
    for session in sessions:
        assert session.fetch(limit=5, wait=0.1) == []


def test_a_message_may_be_deferred_again_and_again(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue, b"x", expiration="1500")])
    for _ in range(3):
        deliveries = fetch_count(session, 1)
        assert deliveries[0].deliveries == 1
        session.defer_many([(deliveries[0], time.time() + 1.2)])
    assert bodies(fetch_count(session, 1)) == [b"x"]


def test_deferring_keeps_the_count(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue)])
    session.requeue_many(fetch_count(session, 1))
    (second,) = fetch_count(session, 1)
    session.defer_many([(second, time.time() + 1.1)])
    assert fetch_count(session, 1)[0].deliveries == 2


def test_an_expiration_does_not_end_a_delay(session: BrokerSession, queue: Queue) -> None:
    due = time.time() + 2.1
    session.publish_many([publication(queue, not_before=due, expiration="300")])
    fetch_count(session, 1)
    assert time.time() >= due - 1.01


def test_a_message_of_celery_s_delays_arrives(opened: Callable[..., BrokerSession], channel: Channel) -> None:
    exchange = Exchange(new_queue().name, "topic")
    queue = new_queue(exchange=exchange, routing_key="k.1", queue_arguments={"x-queue-type": "quorum"})
    session = opened(queue)
    _, routing_key = delay_route(1, "k.1")
    channel.basic_publish("celery_delayed_27", routing_key, b"from celery", {"delivery_mode": 2}, {"task": "t"})
    channel.wait_confirms()
    (got,) = fetch_count(session, 1)
    assert (got.message.body, got.exchange, got.routing_key) == (b"from celery", "", queue.name)
    assert got.message.headers == {"task": "t"}


def test_delay_queues_that_were_deleted_are_declared_again(
    session: BrokerSession, queue: Queue, channel: Channel
) -> None:
    session.publish_many([publication(queue, not_before=time.time() + 300)])
    channel.exchange_delete("celery_delayed_0")
    channel.exchange_delete(DELIVERY_EXCHANGE)
    for _ in range(2):
        try:
            session.publish_many([publication(queue, b"again", not_before=time.time() + 1.9)])
        except OperationalError:
            continue
        break
    assert bodies(fetch_count(session, 1)) == [b"again"]


def test_a_far_future_is_cut_to_what_the_levels_hold(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue, not_before=time.time() + 10**10)])
    assert session.fetch(limit=1, wait=0.1) == []
