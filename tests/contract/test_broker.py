"""The broker contracts, applied to every broker that Celeriac has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.broker import BrokerSession, Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.testing.contracts import (
    BrokerContract,
    BrokerUnderTest,
    LeaseContract,
    MalformedContract,
    ServerBrokerContract,
)
from celeriac.testing.contracts.broker_subject import PATIENCE, bodies, fetch_count, new_queue, publication
from tests.contract import subjects

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["memory", "sqlite", "redis", "redis+cluster", "postgresql", "mysql", "amqp"]
SERVERS = ["redis", "redis+cluster", "postgresql", "mysql", "amqp"]


class TestBroker(BrokerContract):
    """Publishing, taking, settling, routing."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestLease(LeaseContract):
    """Leases."""

    @pytest.fixture(params=[*ALL, "sqs"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestServer(ServerBrokerContract):
    """Servers that fail."""

    @pytest.fixture(params=SERVERS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestMalformed(MalformedContract):
    """Things in a queue that are no messages."""

    @pytest.fixture(params=["sqlite", "redis", "redis+cluster", "postgresql", "mysql", "sqs"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestSQS(BrokerContract):
    """The same of SQS; what it cannot do, it says."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker("sqs", request, tmp_path)

    @pytest.mark.parametrize("body", [b"", bytes(range(256)), "č 漢字 🎈".encode(), b"x" * (1 << 16)])
    def test_any_body_arrives_unchanged(self, session: BrokerSession, queue: Queue, body: bytes) -> None:
        super().test_any_body_arrives_unchanged(session, queue, body)

    def test_a_body_that_the_service_does_not_take_is_an_error(self, session: BrokerSession, queue: Queue) -> None:
        with pytest.raises(OperationalError, match="sqs://"):
            session.publish_many([publication(queue, b"x" * (1 << 20))])
        session.publish_many([publication(queue, b"small")])
        assert bodies(fetch_count(session, 1)) == [b"small"]

    def test_urgent_messages_leave_first(self, subject: BrokerUnderTest) -> None:
        """There are no priorities: a message that has one leaves as any other."""
        queue = new_queue(max_priority=10)
        with subject.session(queue) as session:
            session.publish_many([publication(queue, priority=subject.urgent)])
            (delivery,) = fetch_count(session, 1)
            assert delivery.message.properties["priority"] == subject.urgent

    def test_a_broadcast_reaches_every_session_and_counts_them(self, subject: BrokerUnderTest) -> None:
        with subject.session() as sender, pytest.raises(ImproperlyConfigured, match="cannot send one message to many"):
            sender.broadcast(Exchange("all", "fanout"), publication(new_queue()).message)

    def test_a_broadcast_that_nobody_hears_is_none(self, subject: BrokerUnderTest) -> None:
        assert not subject.broker().capabilities.fanout

    def test_notices_outlive_their_session_and_are_read_by_all(self, subject: BrokerUnderTest) -> None:
        with subject.session() as session:
            with pytest.raises(ImproperlyConfigured, match="cannot send one message to many"):
                session.keep_notices("topic", ["one"], seconds=60.0)
            assert session.notices("topic") == []

    def test_a_notice_is_forgotten_when_its_time_has_passed(self, subject: BrokerUnderTest) -> None:
        with subject.session() as session:
            assert session.notices("topic") == []


class TestSQSServer(ServerBrokerContract):
    """A server that fails. No session has a connection of its own, which could be lost with what it holds."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker("sqs", request, tmp_path)

    def test_a_disconnected_session_is_lost_and_the_next_one_works(
        self, subject: BrokerUnderTest, queue: Queue
    ) -> None:
        self.survives_a_reset(subject, queue)

    def test_a_session_resumed_within_its_lease_still_holds_what_it_held(
        self, subject: BrokerUnderTest, queue: Queue
    ) -> None:
        self.survives_a_reset(subject, queue)

    def test_publishing_on_a_dead_connection_is_an_error(self, subject: BrokerUnderTest, queue: Queue) -> None:
        """Or a success, on another connection; what returned without an error has arrived."""
        assert subject.disconnect is not None
        with subject.session(queue) as session:
            session.publish_many([publication(queue, b"0")])
            subject.disconnect(session)
            arrived = [b"0"]
            for number in range(1, 4):
                try:
                    session.publish_many([publication(queue, b"%d" % number)])
                except OperationalError:
                    continue
                arrived.append(b"%d" % number)
            found = set(bodies(fetch_count(session, len(arrived))))
            assert set(arrived) <= found

    def survives_a_reset(self, subject: BrokerUnderTest, queue: Queue) -> None:
        assert subject.disconnect is not None
        # A request whose answer is lost may have taken the message: it comes when the lease is over.
        with subject.session(queue, lease=PATIENCE / 3) as session:
            session.publish_many([publication(queue, b"held")])
            held = fetch_count(session, 1)
            subject.disconnect(session)
            session.heartbeat()
            session.ack_many(held)
            with subject.session() as publisher:
                publisher.publish_many([publication(queue, b"next")])
            assert bodies(fetch_count(session, 1)) == [b"next"]
