"""The contract of brokers with a server: unreachable, silent, disconnecting, or holding foreign things."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import OperationalError, SessionLost
from celeriac.testing.contracts.broker_subject import (
    SLACK,
    BrokerUnderTest,
    bodies,
    fetch_count,
    new_queue,
    publication,
    until,
)

if TYPE_CHECKING:
    from celeriac.broker import Queue


class ServerBrokerContract:
    """What every broker with a server does. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BrokerUnderTest:
        """The broker to test."""
        raise NotImplementedError("a subclass of ServerBrokerContract provides the fixture `subject`")

    @pytest.fixture
    def queue(self) -> Queue:
        """A queue of its own for each test."""
        return new_queue()

    def test_a_closed_port_is_an_error_in_time(self, subject: BrokerUnderTest) -> None:
        assert subject.url_at_port is not None
        # Bound, and not listening: nobody else can take the port meanwhile.
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            broker = subject.broker(subject.url_at_port(unused.getsockname()[1]))
            started = time.monotonic()
            with pytest.raises(OperationalError):
                broker.connect(timeout=1)
            assert time.monotonic() - started < 1 + SLACK

    def test_a_server_that_does_not_answer_is_an_error_in_time(self, subject: BrokerUnderTest) -> None:
        assert subject.url_at_port is not None
        with socket.create_server(("127.0.0.1", 0)) as silent:
            broker = subject.broker(subject.url_at_port(silent.getsockname()[1]))
            started = time.monotonic()
            with pytest.raises(OperationalError):
                broker.connect(timeout=1)
            assert time.monotonic() - started < 1 + SLACK

    def test_attempts_to_connect_leave_no_file_open(self, subject: BrokerUnderTest) -> None:
        assert subject.url_at_port is not None
        attempts = 20
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            broker = subject.broker(subject.url_at_port(unused.getsockname()[1]))
            before = len(list(Path("/dev/fd").iterdir()))
            for _ in range(attempts):
                with pytest.raises(OperationalError):
                    broker.connect(timeout=1)
            assert len(list(Path("/dev/fd").iterdir())) < before + attempts // 2

    def test_a_disconnected_session_is_lost_and_the_next_one_works(
        self, subject: BrokerUnderTest, queue: Queue
    ) -> None:
        assert subject.disconnect is not None
        with subject.session(queue) as session:
            session.publish_many([publication(queue)])
            subject.disconnect(session)

            def lost() -> bool:
                try:
                    session.heartbeat()
                    session.fetch(limit=1, wait=0)
                except SessionLost:
                    return True
                return False

            until(lost, "the session notices that it is lost")
        with subject.session(queue, sweep_interval=0.05) as fresh:
            fresh.publish_many([publication(queue, b"fresh")])
            found: list[bytes] = []

            def fresh_came() -> bool:
                fresh.heartbeat()
                found.extend(bodies(fresh.fetch(limit=5, wait=0.1)))
                return b"fresh" in found

            until(fresh_came, "a message by the next session")

    def test_a_session_resumed_within_its_lease_still_holds_what_it_held(
        self, subject: BrokerUnderTest, queue: Queue
    ) -> None:
        assert subject.disconnect is not None
        broker = subject.broker(lease=20.0)
        old = broker.connect()
        old.consume([queue])
        old.publish_many([publication(queue, b"1"), publication(queue, b"2")])
        held = fetch_count(old, 2)
        subject.disconnect(old)
        old.close()
        fresh = broker.connect(resume=old)
        try:
            fresh.consume([queue])
            if not broker.capabilities.resumable:
                assert fresh.session_id != old.session_id
                return
            assert fresh.session_id == old.session_id
            assert fresh.fetch(limit=5, wait=0) == []
            fresh.ack_many(held[:1], confirm=True)
            fresh.requeue_many(held[1:])
            assert bodies(fetch_count(fresh, 1)) == [b"2"]
        finally:
            fresh.close()

    def test_publishing_on_a_dead_connection_is_an_error(self, subject: BrokerUnderTest, queue: Queue) -> None:
        assert subject.disconnect is not None
        with subject.session(queue) as session:
            session.publish_many([publication(queue)])
            subject.disconnect(session)
            with pytest.raises(OperationalError):
                for _ in range(3):
                    session.publish_many([publication(queue)])

    def test_closing_a_dead_session_raises_nothing(self, subject: BrokerUnderTest, queue: Queue) -> None:
        assert subject.disconnect is not None
        with subject.session(queue) as session:
            session.publish_many([publication(queue)])
            fetch_count(session, 1)
            subject.disconnect(session)
            session.close()


class MalformedContract:
    """What brokers do about things in their queues that are no messages. Subclasses provide `subject`."""

    @pytest.fixture
    def subject(self) -> BrokerUnderTest:
        """The broker to test."""
        raise NotImplementedError("a subclass of MalformedContract provides the fixture `subject`")

    def test_a_malformed_envelope_arrives_marked(self, subject: BrokerUnderTest) -> None:
        assert subject.put_malformed is not None
        queue = new_queue()
        with subject.session(queue) as session:
            session.publish_many([publication(queue, b"before")])
            subject.put_malformed(queue.name)
            session.publish_many([publication(queue, b"after")])
            deliveries = fetch_count(session, 3)
            (broken,) = [delivery for delivery in deliveries if delivery.malformed]
            assert sorted(bodies([d for d in deliveries if not d.malformed])) == [b"after", b"before"]
            session.dead_letter_many([(broken, "malformed")])
            (letter,) = [letter for letter in session.dead_letters() if letter.queue == queue.name]
            assert letter.reason == "malformed"
            assert letter.message.body == broken.message.body
            assert session.fetch(limit=5, wait=0) == []
