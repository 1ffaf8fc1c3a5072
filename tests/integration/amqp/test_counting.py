"""Deliveries are counted exactly: by those who hold a message, by those who give it back, and after deaths."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import open_broker
from celeriac.drivers.amqp import Declarations
from celeriac.drivers.amqp import methods as m
from celeriac.testing.contracts.broker_subject import bodies, depth, fetch_count, new_queue, publication, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker import BrokerSession, Queue
    from celeriac.drivers.amqp import Channel
    from celeriac.testing.contracts import BrokerUnderTest
    from tests.integration.amqp.proxy import Proxy

_HOLDER = """
import sys, time
from celeriac.broker import Queue, open_broker
session = open_broker(sys.argv[1]).connect()
session.consume([Queue(sys.argv[2], queue_arguments={"x-queue-type": sys.argv[3]})])
found = []
while not found:
    found = session.fetch(limit=1, wait=5)
print(found[0].deliveries, flush=True)
time.sleep(600)
"""

KINDS = ["classic", "quorum"]


def hold_and_die(url: str, queue: Queue, kind: str) -> int:
    """Let another process take a message and be killed; returns what it counted."""
    with subprocess.Popen([sys.executable, "-c", _HOLDER, url, queue.name, kind], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        counted = int(holder.stdout.readline())
        holder.send_signal(signal.SIGKILL)
    return counted


def kind_of_queue(kind: str) -> Queue:
    return new_queue(queue_arguments={"x-queue-type": kind})


@pytest.mark.parametrize("kind", KINDS)
def test_each_killed_holder_counts_once(opened: Callable[..., BrokerSession], amqp_url: str, kind: str) -> None:
    queue = kind_of_queue(kind)
    opened().publish_many([publication(queue, b"poison")])
    assert [hold_and_die(amqp_url, queue, kind) for _ in range(3)] == [1, 2, 3]
    (got,) = fetch_count(opened(queue), 1)
    assert (got.message.body, got.deliveries, got.redelivered) == (b"poison", 4, True)


@pytest.mark.parametrize("kind", KINDS)
def test_charged_and_uncharged_returns(opened: Callable[..., BrokerSession], kind: str) -> None:
    queue = kind_of_queue(kind)
    session = opened(queue)
    session.publish_many([publication(queue)])
    counts = []
    for charge in (False, True, True, False, True):
        deliveries = fetch_count(session, 1)
        counts.append((deliveries[0].deliveries, deliveries[0].redelivered))
        session.requeue_many(deliveries, charge=charge)
    assert counts == [(1, False), (1, False), (2, True), (3, True), (3, True)]
    assert fetch_count(session, 1)[0].deliveries == 4


def test_messages_of_a_closed_session_are_not_charged(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    session = opened(queue)
    session.publish_many([publication(queue, b"%d" % number) for number in range(20)])
    # Some are handed out, and some have arrived without being asked for.
    fetch_count(session, 20, limit=20)
    session.close()
    again = fetch_count(opened(queue), 20)
    assert {(d.deliveries, d.redelivered) for d in again} == {(1, False)}
    assert len(set(bodies(again))) == 20


def test_a_copy_keeps_headers_properties_and_origin(opened: Callable[..., BrokerSession], channel: Channel) -> None:
    queue = new_queue()
    session = opened(queue)
    exchange = f"{queue.name}-x"
    declarations = Declarations()
    declarations.exchange(exchange, "topic")
    declarations.bind_queue(queue.name, exchange, "a.#")
    channel.declare_all(declarations)
    properties = {"content_type": "text/plain", "priority": 3, "message_id": "m", "type": "t", "delivery_mode": 2}
    channel.basic_publish(exchange, "a.b", b"x", properties, {"mine": [1, {"deep": None}], "CC": [queue.name]})
    channel.wait_confirms()
    (first,) = fetch_count(session, 1)
    session.requeue_many([first])
    (again,) = fetch_count(session, 1)
    assert (again.exchange, again.routing_key, again.deliveries) == (exchange, "a.b", 2)
    assert again.message.properties == {"priority": 3, "message_id": "m", "type": "t", "delivery_mode": 2}
    assert again.message.headers == {"mine": [1, {"deep": None}]}
    assert again.message.content_type == "text/plain"
    session.ack_many([again], confirm=True)
    assert depth(session, queue) == 0


def test_a_full_queue_hands_out_what_it_cannot_take_back(opened: Callable[..., BrokerSession]) -> None:
    queue = new_queue(queue_arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    session = opened(queue)
    session.publish_many([publication(queue, b"returns")])
    deliveries = fetch_count(session, 1, limit=1)
    session.publish_many([publication(queue, b"fills")])
    session.requeue_many(deliveries)
    found = fetch_count(session, 2)
    assert sorted(bodies(found)) == [b"fills", b"returns"]
    assert {d.message.body: d.deliveries for d in found} == {b"fills": 1, b"returns": 2}


@pytest.mark.parametrize("count", ["many", -3, 0, 2**40, True, None, [1]])
def test_a_count_that_makes_no_sense_is_one(
    session: BrokerSession, queue: Queue, channel: Channel, count: object
) -> None:
    channel.basic_publish("", queue.name, b"", {}, {"x-celeriac-deliveries": count})
    channel.wait_confirms()
    assert fetch_count(session, 1)[0].deliveries == 1


def test_dead_letters_say_where_they_come_from(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue, expiration="60000", priority=4)])
    deliveries = fetch_count(session, 1)
    session.requeue_many(deliveries)
    session.dead_letter_many([(delivery, "worker_lost") for delivery in fetch_count(session, 1)])
    (letter,) = [letter for letter in session.dead_letters() if letter.queue == queue.name]
    assert letter.reason == "worker_lost"
    assert letter.details == {"deliveries": 2, "exchange": "", "routing_key": queue.name}
    assert letter.message.headers.keys() == deliveries[0].message.headers.keys()
    assert "expiration" not in letter.message.properties
    assert [each.id for each in session.dead_letters() if each.queue == queue.name] == [letter.id]


def test_what_arrived_unasked_for_counts_as_waiting(session: BrokerSession, queue: Queue) -> None:
    session.fetch(limit=10, wait=0)
    session.publish_many([publication(queue) for _ in range(10)])
    fetch_count(session, 1, limit=1)
    # The server has sent all ten by now, or will have: they wait here or there.
    until(lambda: depth(session, queue) == 9, "nine wait")


def test_a_blocked_broker_does_not_keep_back_what_it_cannot_count(
    opened: Callable[..., BrokerSession], queue: Queue, proxy: Proxy
) -> None:
    holder = opened(queue)
    holder.publish_many([publication(queue)])
    fetch_count(holder, 1)
    session: Any = open_broker(proxy.url).connect()
    session.consume([queue])
    proxy.say(m.encode_method(0, m.CONNECTION_BLOCKED, "low on disk"))
    until(lambda: session.depths([queue.name]) and session._link.connection.blocked, "the client is told")
    holder._link.connection.abort()  # type: ignore[attr-defined]
    (got,) = fetch_count(session, 1)
    assert (got.deliveries, got.redelivered) == (2, True)
    session.ack_many([got], confirm=True)
    session.close()


def test_messages_that_were_never_handed_out_are_not_counted_when_a_connection_breaks(
    subject: BrokerUnderTest, opened: Callable[..., BrokerSession], queue: Queue
) -> None:
    """What a worker has not seen cannot have ended it."""
    broker, count = subject.broker(), 20
    session = broker.connect()
    session.consume([queue])
    assert session.fetch(limit=count, wait=0) == []
    publisher = opened()
    publisher.publish_many([publication(queue, b"%d" % number) for number in range(count)])
    until(lambda: depth(publisher, queue) == 0 and depth(session, queue) == count, what="all arrived")
    (seen,) = fetch_count(session, 1, limit=1)
    session._link.connection.abort()
    session.close()
    continued = broker.connect(resume=session)
    continued.consume([queue])
    found = fetch_count(continued, count)
    continued.close()
    counts = {delivery.message.body: delivery.deliveries for delivery in found}
    assert counts == {b"%d" % number: 1 for number in range(count)} | {seen.message.body: 2}
