"""The broker contract, applied to transports of kombu that need no server, and to one with a server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import BrokerSession, Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.testing.contracts import BrokerContract, BrokerUnderTest, ServerBrokerContract
from celeriac.testing.contracts.broker_subject import (
    PATIENCE,
    bodies,
    depth,
    fetch_count,
    new_queue,
    publication,
    until,
)
from tests.contract import subjects

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

TRANSPORTS = ["kombu+memory", "kombu+filesystem", "kombu+sqla+sqlite"]


class TestKombuBroker(BrokerContract):
    """All that the transports can do."""

    @pytest.fixture(params=TRANSPORTS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)

    def test_messages_leave_in_order_of_publication(self, session: BrokerSession, queue: Queue) -> None:
        """Fewer than elsewhere: each takes some time of its own."""
        expected = [b"%d" % number for number in range(40)]
        session.publish_many([publication(queue, body) for body in expected[:30]], timeout=PATIENCE)
        for body in expected[30:]:
            session.publish_many([publication(queue, body)])
        assert bodies(fetch_count(session, 40, limit=7)) == expected

    def test_urgent_messages_leave_first(self, subject: BrokerUnderTest) -> None:
        """There are no priorities: a message that has one leaves as any other."""
        assert not subject.broker().capabilities.priorities
        queue = new_queue(max_priority=10)
        with subject.session(queue) as session:
            session.publish_many([publication(queue, priority=subject.urgent)])
            (delivery,) = fetch_count(session, 1)
            assert delivery.message.properties["priority"] == subject.urgent

    def test_depths_count_waiting_messages_only(self, session: BrokerSession, queue: Queue) -> None:
        """A delayed message waits in its queue until a session has looked at it, and is held there from then on."""
        unknown = new_queue()
        session.publish_many([publication(queue) for _ in range(5)])
        session.publish_many([publication(queue, not_before=time.time() + 300)])
        assert session.depths([queue.name, unknown.name]) == {queue.name: 6, unknown.name: 0}
        held = fetch_count(session, 5)
        until(lambda: not session.fetch(limit=1, wait=0) and depth(session, queue) == 0, "the delayed one is held")
        session.requeue_many(held[:2])
        assert depth(session, queue) == 2

    def test_fanout_exchange_copies_to_every_queue(self, subject: BrokerUnderTest) -> None:
        if subject.broker().capabilities.fanout:
            super().test_fanout_exchange_copies_to_every_queue(subject)
            return
        with (
            subject.session() as session,
            pytest.raises(ImproperlyConfigured, match="'fanout', which kombu's transport"),
        ):
            session.declare([new_queue(exchange=Exchange("all", "fanout"))])

    def test_a_broadcast_reaches_every_session_and_counts_them(self, subject: BrokerUnderTest) -> None:
        """Nobody counts them."""
        exchange = Exchange(new_queue().name, "fanout", durable=False)
        message = publication(new_queue(), b"news").message
        with subject.session() as sender:
            if not subject.broker().capabilities.fanout:
                with pytest.raises(ImproperlyConfigured, match="'fanout', which kombu's transport"):
                    sender.broadcast(exchange, message)
                return
            queues = [new_queue(exchange=exchange, auto_delete=True, durable=False, no_ack=True) for _ in range(2)]
            with subject.session(queues[0]) as first, subject.session(queues[1]) as second:
                assert sender.broadcast(exchange, message) is None
                assert bodies(fetch_count(first, 1)) == bodies(fetch_count(second, 1)) == [b"news"]

    def test_a_broadcast_that_nobody_hears_is_none(self, subject: BrokerUnderTest) -> None:
        if subject.broker().capabilities.fanout:
            with subject.session() as sender:
                assert sender.broadcast(Exchange(new_queue().name, "fanout"), publication(new_queue()).message) is None

    def test_notices_outlive_their_session_and_are_read_by_all(self, subject: BrokerUnderTest) -> None:
        """There is nowhere to keep them."""
        with subject.session() as session:
            with pytest.raises(OperationalError, match="keep no notices"):
                session.keep_notices("topic", ["one"], seconds=60.0)
            assert session.notices("topic") == []

    def test_a_notice_is_forgotten_when_its_time_has_passed(self, subject: BrokerUnderTest) -> None:
        with subject.session() as session:
            assert session.notices("topic") == []

    def test_messages_live_no_longer_than_their_queue_lets_them(self, subject: BrokerUnderTest) -> None:
        queue = new_queue(message_ttl=0.05)
        with subject.session() as publisher:
            publisher.publish_many([publication(queue, b"old"), publication(queue, b"older", expiration="1")])
            began = time.time()
            until(lambda: time.time() > began + 0.06, "their time is over")
        lasting = queue.but(message_ttl=3600.0)
        with subject.session(lasting) as session:
            assert bodies(fetch_count(session, 1)) == [b"old"]
            session.publish_many([publication(lasting, b"new")])
            assert bodies(fetch_count(session, 1)) == [b"new"]

    def test_a_queue_that_nobody_would_delete_is_refused(self, subject: BrokerUnderTest) -> None:
        with subject.session() as session, pytest.raises(ImproperlyConfigured, match="auto_delete"):
            session.declare([new_queue(expires=10.0)])

    def test_compressed_bodies_stay_as_they_are(self, session: BrokerSession, queue: Queue) -> None:
        sent = publication(queue, b"\x1f\x8bcompressed, in a way")
        sent.message.headers["compression"] = "application/x-gzip"
        session.publish_many([sent])
        (got,) = fetch_count(session, 1)
        assert (got.message.body, got.message.headers) == (sent.message.body, sent.message.headers)


class TestKombuServer(ServerBrokerContract):
    """A server that fails."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker("kombu+sqla+postgresql", request, tmp_path)

    def test_what_a_lost_session_held_is_put_back_by_the_next_one(self, subject: BrokerUnderTest, queue: Queue) -> None:
        assert subject.disconnect is not None
        broker = subject.broker()
        lost = broker.connect()
        lost.consume([queue])
        lost.publish_many([publication(queue, b"held"), publication(queue, b"parked", not_before=time.time() + 1)])
        assert bodies(fetch_count(lost, 1)) == [b"held"]
        subject.disconnect(lost)
        lost.close()
        fresh = broker.connect()
        try:
            fresh.consume([queue])
            again = {each.message.body: each.deliveries for each in fetch_count(fresh, 2)}
            assert again[b"held"] == 2
        finally:
            fresh.close()
