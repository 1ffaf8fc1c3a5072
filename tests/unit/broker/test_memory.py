"""The in-process broker with a clock of the test's own."""

from __future__ import annotations

import uuid

import pytest

from celeriac.broker import BrokerOptions, Queue
from celeriac.broker.memory import MemoryBroker
from celeriac.exceptions import ImproperlyConfigured, SessionLost
from celeriac.message import Destination, Message, Publication


class Clock:
    """Time that passes when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock: Clock) -> MemoryBroker:
    return MemoryBroker(f"memory://{uuid.uuid4()}", BrokerOptions(lease=30, sweep_interval=10), clock=clock)


def publication(queue: Queue, not_before: float | None = None) -> Publication:
    message = Message(b"body", "application/json", "utf-8", {}, {})
    return Publication(message, Destination("", queue.name, queue), not_before)


def test_lease_runs_out_by_the_clock(broker: MemoryBroker, clock: Clock) -> None:
    queue = Queue("q")
    holder, rescuer = broker.connect(), broker.connect()
    holder.consume([queue])
    holder.publish_many([publication(queue)])
    (held,) = holder.fetch(limit=1, wait=0)
    rescuer.consume([queue])
    clock.now += 29
    rescuer.heartbeat()
    assert rescuer.fetch(limit=1, wait=0) == []
    clock.now += 11
    rescuer = broker.connect()
    rescuer.consume([queue])
    rescuer.heartbeat()
    assert rescuer.fetch(limit=1, wait=0)[0].deliveries == 2
    holder.ack_many([held])
    with pytest.raises(SessionLost):
        holder.heartbeat()


def test_delay_follows_the_clock(broker: MemoryBroker, clock: Clock) -> None:
    queue = Queue("q")
    session = broker.connect()
    session.consume([queue])
    session.publish_many([publication(queue, not_before=clock.now + 5)])
    assert session.fetch(limit=1, wait=0) == []
    clock.now += 5
    assert len(session.fetch(limit=1, wait=0)) == 1


def test_messages_expire_after_the_ttl_of_their_queue(broker: MemoryBroker, clock: Clock) -> None:
    queue = Queue("q", message_ttl=5)
    session = broker.connect()
    session.consume([queue])
    session.publish_many([publication(queue)])
    clock.now += 5
    assert session.fetch(limit=1, wait=0) == []


def test_transient_queue_goes_with_its_consumer(broker: MemoryBroker) -> None:
    queue = Queue("q", auto_delete=True)
    consumer, other = broker.connect(), broker.connect()
    consumer.consume([queue])
    other.publish_many([publication(queue)])
    consumer.close()
    assert other.depths(["q"]) == {"q": 0}


def test_arguments_that_mean_nothing_here_are_refused(broker: MemoryBroker) -> None:
    with pytest.raises(ImproperlyConfigured, match="x-max-length"):
        broker.connect().declare([Queue("q", max_length=5)])


def test_bodies_above_the_limit_are_refused(clock: Clock) -> None:
    broker = MemoryBroker(f"memory://{uuid.uuid4()}", BrokerOptions(max_body_size=3), clock=clock)
    with pytest.raises(ImproperlyConfigured, match="max_body_size"):
        broker.connect().publish_many([publication(Queue("q"))])
