"""Consuming takes no more than is wanted, survives what happens to queues, and says why a session ended."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import SessionLost, SessionRefused
from celeriac.testing.contracts.broker_subject import bodies, depth, fetch_count, new_queue, publication, until
from tests.support import PATIENCE, SLACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker import BrokerSession, Queue
    from celeriac.drivers.amqp import Channel
    from celeriac.message import Delivery
    from celeriac.testing.contracts import BrokerUnderTest


def test_a_busy_session_leaves_the_rest_to_others(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    busy = opened(queue)
    busy.publish_many([publication(queue) for _ in range(10)])
    held = fetch_count(busy, 4, limit=4)
    assert len(fetch_count(opened(queue), 6)) == 6
    busy.ack_many(held)


def test_room_that_became_free_is_filled(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue) for _ in range(10)])
    held = fetch_count(session, 4, limit=4)
    assert len(fetch_count(session, 2, limit=2)) == 2
    session.ack_many(held)
    assert len(fetch_count(session, 4, limit=4)) == 4


def test_the_prefetch_count_shrinks_when_less_is_wanted(
    opened: Callable[..., BrokerSession], queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.broker.amqp.consuming._SHRINK_AFTER", 0.0)
    session = opened(queue)
    session.fetch(limit=100, wait=0)
    session.fetch(limit=2, wait=0)
    session.publish_many([publication(queue) for _ in range(50)])
    until(lambda: session.fetch(limit=1, wait=0.1), "one comes")
    assert depth(session, queue) >= 48


def test_a_queue_deleted_under_a_consumer_is_consumed_again(
    session: BrokerSession, queue: Queue, channel: Channel
) -> None:
    session.fetch(limit=1, wait=0)
    channel.queue_delete(queue.name)

    def came() -> list[Delivery]:
        # Dropped as long as the session has not noticed.
        channel.basic_publish("", queue.name, b"after")
        channel.wait_confirms()
        return session.fetch(limit=1, wait=0.1)

    assert bodies(until(came, "the queue is consumed again")) == [b"after"]


def test_a_closed_channel_is_a_lost_session_that_says_why(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue)])
    held = fetch_count(session, 1)
    # What the server does to a consumer that exceeds its consumer_timeout: a channel error.
    session._consumption.channel.ack_many([99])  # type: ignore[attr-defined]
    with pytest.raises(SessionLost, match="PRECONDITION_FAILED - unknown delivery tag 99"):
        session.fetch(limit=1, wait=PATIENCE)
    with pytest.raises(SessionLost):
        session.fetch(limit=1, wait=0)
    with pytest.raises(SessionLost):
        session.heartbeat()
    with pytest.raises(SessionLost, match="unknown delivery tag"):
        session.ack_many(held)


def test_acknowledgements_out_of_order_settle_what_they_name(
    opened: Callable[..., BrokerSession], queue: Queue
) -> None:
    session = opened(queue)
    session.publish_many([publication(queue, b"%d" % number) for number in range(30)])
    held = fetch_count(session, 30)
    session.ack_many(held[20:], confirm=True)
    session.ack_many(held[:10:2], confirm=True)
    session.close()
    left = fetch_count(opened(queue), 15)
    assert {int(body) for body in bodies(left)} == {1, 3, 5, 7, 9, *range(10, 20)}


@pytest.mark.parametrize("flush", [lambda session: session.flush(), lambda session: session.fetch(limit=1, wait=0.05)])
def test_acknowledgements_that_were_put_off_are_carried_out(
    opened: Callable[..., BrokerSession], queue: Queue, flush: Callable[[BrokerSession], object]
) -> None:
    session = opened(queue)
    session.publish_many([publication(queue, b"%d" % number) for number in range(5)])
    held = fetch_count(session, 5)
    session.ack_many(held[1:])
    flush(session)
    consumption, connection = session._consumption, session._link.connection  # type: ignore[attr-defined]
    consumption.confirm_settled()
    connection.abort()
    left = fetch_count(opened(queue), 1)
    assert bodies(left) == [b"0"]
    assert opened(queue).fetch(limit=1, wait=0.05) == []


def test_a_message_is_not_held_back_behind_one_that_is_never_settled(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue) for _ in range(200)])
    held = fetch_count(session, 1, limit=1)
    for _ in range(199):
        session.ack_many(fetch_count(session, 1, limit=1))
    assert depth(session, queue) == 0
    session.ack_many(held, confirm=True)


def test_a_queue_without_acknowledgement_is_settled_by_delivery(opened: Callable[..., BrokerSession]) -> None:
    queue = new_queue(no_ack=True)
    session = opened(queue)
    session.publish_many([publication(queue)])
    deliveries = fetch_count(session, 1)
    session.ack_many(deliveries, confirm=True)
    session.requeue_many(deliveries)
    session.close()
    assert opened(queue).fetch(limit=1, wait=0.05) == []


def test_an_auto_delete_queue_survives_a_change_of_prefetch(opened: Callable[..., BrokerSession]) -> None:
    queue = new_queue(auto_delete=True)
    session = opened(queue)
    session.fetch(limit=1, wait=0)
    session.publish_many([publication(queue) for _ in range(20)])
    assert len(fetch_count(session, 20, limit=20)) == 20
    session.close()
    other = opened()
    until(lambda: other.depths([queue.name]) == {queue.name: 0}, "the queue is gone")


def test_purging_counts_what_had_arrived(session: BrokerSession, queue: Queue) -> None:
    session.publish_many([publication(queue) for _ in range(10)])
    fetch_count(session, 3, limit=3)
    session.fetch(limit=0, wait=0)
    assert session.purge(queue.name) == 7
    assert session.fetch(limit=5, wait=0.05) == []


def test_wake_before_a_wait_ends_it(session: BrokerSession) -> None:
    session.fetch(limit=1, wait=0)
    session.wake()
    started = time.monotonic()
    assert session.fetch(limit=1, wait=PATIENCE) == []
    assert time.monotonic() - started < SLACK


def test_a_wait_costs_no_processor_time(session: BrokerSession) -> None:
    session.fetch(limit=1, wait=0)
    before = time.thread_time()
    session.fetch(limit=1, wait=1.0)
    assert time.thread_time() - before < 0.2


def test_wrong_credentials_are_refused(subject: BrokerUnderTest, amqp_url: str) -> None:
    with pytest.raises(SessionRefused, match="ACCESS_REFUSED"):
        subject.broker(amqp_url.replace("guest:guest", "guest:wrong")).connect()
    with pytest.raises(SessionRefused, match="no-such-vhost"):
        subject.broker(amqp_url.rpartition("/")[0] + "/no-such-vhost").connect()


def test_dead_letters_can_be_read_by_several_at_once(opened: Callable[..., BrokerSession], queue: Queue) -> None:
    session = opened(queue)
    session.publish_many([publication(queue, b"%d" % number) for number in range(50)])
    session.dead_letter_many([(delivery, "why") for delivery in fetch_count(session, 50)])
    counts: list[int] = []
    readers = [opened() for _ in range(3)]

    def read(reader: BrokerSession) -> None:
        counts.append(len([letter for letter in reader.dead_letters(limit=10_000) if letter.queue == queue.name]))

    threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert counts == [50, 50, 50]
