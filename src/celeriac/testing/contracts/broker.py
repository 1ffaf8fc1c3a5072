"""The contract of brokers: publishing, taking, settling, routing.  Leases and servers have their own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import BrokerSession, Exchange, Queue, binding
from celeriac.broker.base import CountsDeadLetters, CountsDelayed
from celeriac.exceptions import OperationalError, Superseded, Unroutable
from celeriac.message import DeadLetter, Delivery, Destination, Once, Publication
from celeriac.testing.contracts.broker_subject import (
    PATIENCE,
    SLACK,
    BrokerUnderTest,
    bodies,
    depth,
    fetch_count,
    in_time,
    new_message,
    new_queue,
    publication,
    soon_noticed,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class BrokerContract:
    """What every broker does. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BrokerUnderTest:
        """The broker to test."""
        raise NotImplementedError("a subclass of BrokerContract provides the fixture `subject`")

    @pytest.fixture
    def queue(self) -> Queue:
        """A queue of its own for each test."""
        return new_queue()

    @pytest.fixture
    def session(self, subject: BrokerUnderTest, queue: Queue) -> Iterator[BrokerSession]:
        """A session that consumes `queue`."""
        with subject.session(queue) as session:
            yield session

    # Publishing and taking

    def test_message_arrives_as_it_was_published(self, session: BrokerSession, queue: Queue) -> None:
        sent = publication(queue, b"[[1, 2], {}, {}]", reply_to="someone", priority=0, delivery_mode=2)
        session.publish_many([sent])
        (got,) = fetch_count(session, 1)
        assert got.message.body == sent.message.body
        assert got.message.content_type == "application/json"
        assert got.message.content_encoding == "utf-8"
        assert got.message.headers["task"] == "contract.task"
        assert got.message.headers["timelimit"] == [None, None]
        assert got.message.properties["correlation_id"] == sent.message.properties["correlation_id"]
        assert got.message.properties["reply_to"] == "someone"
        assert (got.queue, got.exchange, got.routing_key) == (queue.name, "", queue.name)
        assert (got.redelivered, got.deliveries, got.malformed) == (False, 1, None)
        assert got.session_id == session.session_id

    @pytest.mark.parametrize("body", [b"", bytes(range(256)), "č 漢字 🎈".encode(), b"x" * (1 << 20)])
    def test_any_body_arrives_unchanged(self, session: BrokerSession, queue: Queue, body: bytes) -> None:
        session.publish_many([publication(queue, body)])
        assert bodies(fetch_count(session, 1)) == [body]

    def test_unicode_survives_in_headers(self, session: BrokerSession, queue: Queue) -> None:
        sent = publication(queue)
        sent.message.headers["argsrepr"] = "('č', '漢字', '🎈', '\"')"
        sent.message.headers["stamps"] = {"ключ": ["значение"]}
        session.publish_many([sent])
        assert fetch_count(session, 1)[0].message.headers == sent.message.headers

    def test_unicode_queue_name(self, subject: BrokerUnderTest, queue: Queue) -> None:
        named = Queue(f"{queue.name}-č-漢")
        with subject.session(named) as session:
            session.publish_many([publication(named)])
            assert fetch_count(session, 1)[0].queue == named.name

    def test_messages_leave_in_order_of_publication(self, session: BrokerSession, queue: Queue) -> None:
        expected = [b"%d" % number for number in range(200)]
        session.publish_many([publication(queue, body) for body in expected[:150]])
        for body in expected[150:]:
            session.publish_many([publication(queue, body)])
        assert bodies(fetch_count(session, 200, limit=7)) == expected

    def test_a_large_batch_arrives_once_each(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        many = subject.many
        session.publish_many([publication(queue, b"%d" % number) for number in range(many)], timeout=PATIENCE)
        seen: list[bytes] = []
        while len(seen) < many:
            deliveries = fetch_count(session, 1, limit=1000)
            seen += bodies(deliveries)
            session.ack_many(deliveries)
        assert sorted(map(int, seen)) == list(range(many))
        assert session.fetch(limit=1, wait=0) == []

    def test_empty_batches_do_nothing(self, session: BrokerSession) -> None:
        session.publish_many([])
        session.ack_many([])
        session.reject_many([])
        session.requeue_many([])
        session.defer_many([])
        session.dead_letter_many([])
        session.declare([])

    def test_fetch_respects_its_limit(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue) for _ in range(20)])
        counts: list[int] = []
        while sum(counts) < 20:
            counts.append(len(session.fetch(limit=6, wait=0.5)))
        assert max(counts) <= 6

    def test_claimed_messages_are_not_handed_out_again(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        session.publish_many([publication(queue) for _ in range(5)])
        fetch_count(session, 5)
        with subject.session(queue) as other:
            assert other.fetch(limit=10, wait=0.1) == []

    def test_messages_wait_for_a_consumer_that_comes_later(self, subject: BrokerUnderTest, queue: Queue) -> None:
        with subject.session() as publisher:
            publisher.publish_many([publication(queue)])
        with subject.session(queue) as session:
            assert len(fetch_count(session, 1)) == 1

    def test_consume_replaces_the_queues(self, subject: BrokerUnderTest, queue: Queue) -> None:
        other = new_queue()
        with subject.session(queue) as session:
            session.consume([other])
            session.publish_many([publication(queue), publication(other, b"other")])
            assert bodies(fetch_count(session, 1)) == [b"other"]
            assert session.fetch(limit=5, wait=0.05) == []

    def test_a_long_queue_does_not_starve_another(self, subject: BrokerUnderTest) -> None:
        queues = [new_queue(), new_queue(), new_queue()]
        with subject.session(*queues) as session:
            for queue in queues:
                session.publish_many([publication(queue) for _ in range(100)])
            served = Counter(delivery.queue for _ in range(12) for delivery in fetch_count(session, 1, limit=5))
        assert set(served) == {queue.name for queue in queues}

    def test_two_sessions_share_many_messages(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        many = subject.many // 5
        session.publish_many([publication(queue, b"%d" % number) for number in range(many)], timeout=PATIENCE)
        seen: list[bytes] = []

        enough = threading.Event()

        def consume() -> None:
            with subject.session(queue) as mine:
                while not enough.is_set():
                    deliveries = mine.fetch(limit=20, wait=0.2)
                    mine.ack_many(deliveries)
                    seen.extend(bodies(deliveries))

        threads = [threading.Thread(target=consume) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: len(seen) >= many, "all messages")
        finally:
            enough.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert sorted(map(int, seen)) == list(range(many))

    # Waiting

    def test_fetch_without_wait_returns_at_once(self, session: BrokerSession) -> None:
        session.fetch(limit=1, wait=0)

        def delay() -> float:
            started = time.monotonic()
            assert session.fetch(limit=1, wait=0) == []
            return time.monotonic() - started

        soon_noticed(delay, 0.5)

    def test_fetch_waits_no_longer_than_asked(self, session: BrokerSession) -> None:
        started = time.monotonic()
        assert session.fetch(limit=1, wait=0.3) == []
        assert 0.25 <= time.monotonic() - started < 0.3 + SLACK

    def test_waiting_fetch_notices_a_message_at_once(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        with subject.session() as publisher:
            publisher.declare([queue])

            def delay() -> float:
                arrivals: list[float] = []

                def consume() -> None:
                    deliveries = until(partial(session.fetch, limit=1, wait=PATIENCE), "the message arrives")
                    arrivals.extend(time.monotonic() for _ in deliveries)
                    session.ack_many(deliveries)

                consumer = threading.Thread(target=consume)
                consumer.start()
                # Idle long enough for the consumer to be waiting: the case that is measured.
                consumer.join(0.05)
                sent_at = time.monotonic()
                publisher.publish_many([publication(queue)])
                consumer.join(2 * PATIENCE)
                (arrived_at,) = arrivals
                return arrived_at - sent_at

            soon_noticed(delay, subject.reaction)

    def test_wake_ends_a_wait(self, session: BrokerSession) -> None:
        returned: list[list[Delivery]] = []
        thread = threading.Thread(target=lambda: returned.append(session.fetch(limit=1, wait=10 * PATIENCE)))
        thread.start()
        thread.join(0.1)
        session.wake()
        thread.join(PATIENCE)
        assert returned == [[]]

    def test_session_works_after_wake(self, session: BrokerSession, queue: Queue) -> None:
        for _ in range(100):
            session.wake()
        session.publish_many([publication(queue)])
        assert len(fetch_count(session, 1)) == 1
        assert session.fetch(limit=1, wait=0) == []

    # Priorities and delays

    def test_urgent_messages_leave_first(self, subject: BrokerUnderTest) -> None:
        queue = new_queue(max_priority=10)
        with subject.session() as publisher:
            publisher.publish_many([publication(queue, b"low%d" % n, priority=subject.ordinary) for n in range(20)])
            publisher.publish_many([publication(queue, b"high%d" % n, priority=subject.urgent) for n in range(5)])
            with subject.session(queue) as session:
                got = bodies(fetch_count(session, 25, limit=1))
        assert got == [b"high%d" % n for n in range(5)] + [b"low%d" % n for n in range(20)]

    def test_delayed_message_comes_when_it_is_due(self, subject: BrokerUnderTest) -> None:
        resolution = subject.broker().capabilities.delay_resolution

        def before(due: float) -> tuple[list[bytes], int]:
            queue = new_queue()
            session.consume([queue])
            session.publish_many([publication(queue, b"later", not_before=due), publication(queue, b"now")])
            return bodies(fetch_count(session, 1)), depth(session, queue)

        with subject.session() as session:
            due, came = in_time(before, 0.4 + 2 * resolution, resolution)
            assert came == ([b"now"], 0)
            (got,) = fetch_count(session, 1)
            assert due - resolution - 0.01 <= time.time() < due + resolution + SLACK
            assert got.message.body == b"later"
            assert (got.deliveries, got.redelivered) == (1, False)

    def test_a_waiting_fetch_sees_a_message_become_due(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        resolution = subject.broker().capabilities.delay_resolution
        due = time.time() + 0.3 + 2 * resolution
        session.publish_many([publication(queue, not_before=due)])
        until(partial(session.fetch, limit=1, wait=PATIENCE), "the message comes")
        assert time.time() - due < resolution + SLACK

    def test_a_due_time_in_the_past_is_at_once(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue, not_before=time.time() - 5)])
        assert len(fetch_count(session, 1)) == 1

    def test_deferred_message_comes_back_uncharged(self, subject: BrokerUnderTest) -> None:
        resolution = subject.broker().capabilities.delay_resolution

        def before(due: float) -> tuple[list[Delivery], int]:
            queue = new_queue()
            session.consume([queue])
            session.publish_many([publication(queue, b"a"), publication(queue, b"b")])
            session.defer_many([(delivery, due) for delivery in fetch_count(session, 2)])
            return session.fetch(limit=5, wait=0), depth(session, queue)

        with subject.session() as session:
            due, came = in_time(before, 0.3 + 2 * resolution, resolution)
            assert came == ([], 0)
            again = fetch_count(session, 2)
            assert time.time() >= due - resolution - 0.01
            assert sorted(bodies(again)) == [b"a", b"b"]
            assert {delivery.deliveries for delivery in again} == {1}
            assert again[0].message.headers["task"] == "contract.task"

    # Settling

    def test_acknowledged_message_is_gone(self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue) for _ in range(3)])
        session.ack_many(fetch_count(session, 3), confirm=True)
        session.close()
        with subject.session(queue) as other:
            assert other.fetch(limit=5, wait=0.05) == []

    def test_acknowledging_twice_is_harmless(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue)])
        deliveries = fetch_count(session, 1)
        session.ack_many(deliveries, confirm=True)
        session.ack_many(deliveries, confirm=True)
        session.requeue_many(deliveries)
        session.publish_many([publication(queue, b"next")])
        assert bodies(fetch_count(session, 1)) == [b"next"]

    def test_what_was_acknowledged_out_of_order_is_gone_after_a_flush(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        session.publish_many([publication(queue, b"%d" % number) for number in range(4)])
        held = fetch_count(session, 4)
        session.ack_many(held[2:])
        session.flush()
        session.requeue_many(held[:1])
        session.ack_many(held[1:2])
        session.close()
        with subject.session(queue) as other:
            assert bodies(fetch_count(other, 1)) == [b"0"]
            assert other.fetch(limit=5, wait=0.05) == []

    def test_rejected_message_is_gone(self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue)])
        session.reject_many(fetch_count(session, 1))
        session.close()
        with subject.session(queue) as other:
            assert other.fetch(limit=5, wait=0.05) == []

    def test_deliveries_of_other_sessions_are_ignored(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        session.publish_many([publication(queue)])
        deliveries = fetch_count(session, 1)
        with subject.session() as other:
            other.ack_many(deliveries, confirm=True)
            other.reject_many(deliveries)
            other.requeue_many(deliveries)
        session.requeue_many(deliveries)
        assert len(fetch_count(session, 1)) == 1

    def test_charged_requeue_counts_the_delivery(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue, b"again")])
        for expected in (1, 2, 3):
            (delivery,) = fetch_count(session, 1)
            assert (delivery.deliveries, delivery.redelivered) == (expected, expected > 1)
            assert delivery.message.body == b"again"
            session.requeue_many([delivery])

    def test_uncharged_requeue_forgets_the_delivery(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue)])
        for _ in range(3):
            (delivery,) = fetch_count(session, 1)
            assert delivery.deliveries == 1
            session.requeue_many([delivery], charge=False)

    def test_closing_releases_what_is_held_uncharged(
        self, subject: BrokerUnderTest, session: BrokerSession, queue: Queue
    ) -> None:
        session.publish_many([publication(queue) for _ in range(3)])
        fetch_count(session, 3)
        session.close()
        with subject.session(queue) as other:
            assert {delivery.deliveries for delivery in fetch_count(other, 3)} == {1}

    def test_close_may_be_called_twice(self, session: BrokerSession) -> None:
        session.close()
        session.close()

    def test_a_closed_session_refuses_to_publish(self, session: BrokerSession, queue: Queue) -> None:
        session.close()
        with pytest.raises(OperationalError):
            session.publish_many([publication(queue)])

    def test_dead_letters_are_kept_with_their_reason(self, session: BrokerSession, queue: Queue) -> None:
        started = time.time()
        session.publish_many([publication(queue, b"%d" % number) for number in range(3)])
        for delivery in fetch_count(session, 3):
            session.dead_letter_many([(delivery, f"reason {delivery.message.body.decode()}")])
        assert session.fetch(limit=5, wait=0) == []
        mine = [letter for letter in session.dead_letters() if letter.queue == queue.name]
        assert [letter.message.body for letter in mine] == [b"2", b"1", b"0"]
        assert [letter.reason for letter in mine] == ["reason 2", "reason 1", "reason 0"]
        assert mine[0].message.headers["task"] == "contract.task"
        assert all(started - 2 <= letter.dead_at <= time.time() + 2 for letter in mine)
        assert len({letter.id for letter in mine}) == 3
        assert len(session.dead_letters(limit=2)) == 2

    def test_dead_letters_are_removed_by_id(self, session: BrokerSession, queue: Queue) -> None:
        session.publish_many([publication(queue, b"%d" % number) for number in range(3)])
        for delivery in fetch_count(session, 3):
            session.dead_letter_many([(delivery, "removed")])

        def mine() -> list[DeadLetter]:
            return [letter for letter in session.dead_letters(limit=1000) if letter.queue == queue.name]

        newest, middle, oldest = mine()
        assert session.remove_dead_letters([]) == 0
        assert session.remove_dead_letters([middle.id, "not an id", "999999999999"]) == 1
        assert [letter.id for letter in mine()] == [newest.id, oldest.id]
        assert session.remove_dead_letters([middle.id]) == 0
        assert session.remove_dead_letters([newest.id, oldest.id]) == 2
        assert mine() == []

    # Looking and purging

    def test_delayed_messages_and_dead_letters_are_counted(self, session: BrokerSession, queue: Queue) -> None:
        if isinstance(session, CountsDelayed):
            later = time.time() + PATIENCE * 60
            session.publish_many([publication(queue), *(publication(queue, not_before=later) for _ in range(2))])
            assert session.count_delayed([queue.name, "unknown"]) == {queue.name: 2, "unknown": 0}
            assert session.depths([queue.name]) == {queue.name: 1}
        else:
            session.publish_many([publication(queue)])
        if isinstance(session, CountsDeadLetters):
            before = session.count_dead_letters()
            session.dead_letter_many([(delivery, "counted") for delivery in fetch_count(session, 1)])
            assert session.count_dead_letters() == before + 1

    def test_depths_count_waiting_messages_only(self, session: BrokerSession, queue: Queue) -> None:
        unknown = new_queue()
        session.publish_many([publication(queue) for _ in range(5)])
        session.publish_many([publication(queue, not_before=time.time() + 300)])
        (held,) = fetch_count(session, 1, limit=1)
        session.requeue_many([held])
        until(lambda: depth(session, queue) in (4, 5), "the depth is counted")
        assert session.depths([queue.name, unknown.name])[unknown.name] == 0

    def test_purge_drops_waiting_and_delayed_messages(self, subject: BrokerUnderTest) -> None:
        capabilities = subject.broker().capabilities
        resolution = capabilities.delay_resolution

        def before(due: float) -> tuple[int, int]:
            queue = new_queue()
            session.consume([queue])
            session.publish_many([publication(queue) for _ in range(4)])
            session.publish_many([publication(queue, not_before=due)])
            until(lambda: depth(session, queue) >= 4, "four messages wait")
            return session.purge(queue.name), depth(session, queue)

        with subject.session() as session:
            due, purged = in_time(before, 0.5 + 2 * resolution, resolution)
            assert purged == (4 + capabilities.purges_delayed, 0)
            if capabilities.purges_delayed:
                assert session.fetch(limit=5, wait=due - time.time() + 0.2 + resolution) == []
            else:
                assert len(fetch_count(session, 1)) == 1

    def test_purge_of_an_empty_queue_returns_zero(self, session: BrokerSession, queue: Queue) -> None:
        assert session.purge(queue.name) == 0

    # Once

    def test_a_message_of_a_series_is_taken_once(self, subject: BrokerUnderTest, session: BrokerSession) -> None:
        if not subject.broker().capabilities.once:
            return
        plain = new_queue()
        exchange = Exchange(plain.name, "topic")
        routed = new_queue(exchange=exchange, routing_key="a.*")
        scope = new_queue().name

        def publish(
            place: str, token: int = 1, series: str = "s", key: str = plain.name, due: float | None = None
        ) -> None:
            named, queue = ("", plain) if key == plain.name else (exchange.name, None)
            item = Publication(new_message(place.encode()), Destination(named, key, queue), not_before=due)
            item.once = Once(scope, token, series, place)
            session.publish_many([item])

        with subject.session(plain, routed) as consumer:
            publish("first")
            publish("first")
            publish("first", series="another")
            publish("second", token=2)
            # Whoever takes over sends the last one again; who led before sends nothing.
            publish("second", token=3)
            publish("second", token=1)
            with pytest.raises(Superseded):
                publish("third", token=1)
            # A broker may remember more than the last one, and then there is nothing to refuse.
            with suppress(Superseded):
                publish("first", token=1)
            publish("third", token=3)
            for _ in range(2):
                publish("routed", token=3, series="routed", key="a.b")
                publish("later", token=3, series="later", due=time.time() + 0.2)
            found = fetch_count(consumer, 6)
            assert sorted(bodies(found)) == [b"first", b"first", b"later", b"routed", b"second", b"third"]
            assert consumer.fetch(limit=5, wait=0.05) == []
            consumer.ack_many(found)

    # Routing

    def publish_to(self, session: BrokerSession, exchange: Exchange, key: str, **options: Any) -> None:
        """Publish the routing key as a body."""
        message = new_message(key.encode())
        session.publish_many([Publication(message, Destination(exchange.name, key), **options)])

    def test_direct_exchange_routes_by_equal_keys(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "direct")
        one = new_queue(exchange=exchange, routing_key="one")
        two = new_queue(exchange=exchange, routing_key="two")
        with subject.session(one) as first, subject.session(two) as second:
            for key in ("one", "two", "three"):
                self.publish_to(first, exchange, key)
            (got,) = fetch_count(first, 1)
            assert (got.message.body, got.exchange, got.routing_key) == (b"one", exchange.name, "one")
            assert bodies(fetch_count(second, 1)) == [b"two"]
            assert first.fetch(limit=5, wait=0.05) == []

    def test_topic_exchange_routes_by_patterns(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "topic")
        word = new_queue(exchange=exchange, routing_key="stock.*")
        rest = new_queue(exchange=exchange, routing_key="stock.#")
        with subject.session(word) as first, subject.session(rest) as second:
            for key in ("stock.usd", "stock.usd.nyse", "bond.usd"):
                self.publish_to(first, exchange, key)
            assert bodies(fetch_count(first, 1)) == [b"stock.usd"]
            assert bodies(fetch_count(second, 2)) == [b"stock.usd", b"stock.usd.nyse"]

    def test_fanout_exchange_copies_to_every_queue(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "fanout")
        queues = [new_queue(exchange=exchange) for _ in range(3)]
        with (
            subject.session(queues[0]) as first,
            subject.session(queues[1]) as second,
            subject.session(queues[2]) as third,
        ):
            for session in (first, second, third):
                session.fetch(limit=1, wait=0)
            self.publish_to(first, exchange, "news")
            for session in (first, second, third):
                deliveries = fetch_count(session, 1)
                assert bodies(deliveries) == [b"news"]
                session.ack_many(deliveries)

    def test_a_queue_without_a_name_stands_for_its_exchange(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "topic")
        destination = Destination(exchange.name, "news.today", Queue("", exchange))
        queue = new_queue(exchange=exchange, routing_key="news.#")
        with subject.session() as publisher:
            publisher.publish_many([Publication(new_message(b"nobody is there"), destination)])
            with pytest.raises(Unroutable):
                publisher.publish_many([Publication(new_message(b"nobody still"), destination, mandatory=True)])
            with subject.session(queue) as session:
                publisher.publish_many([Publication(new_message(b"somebody is"), destination, mandatory=True)])
                assert bodies(fetch_count(session, 1)) == [b"somebody is"]

    def test_a_queue_with_two_bindings_gets_one_copy(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "topic")
        queue = new_queue(bindings=(binding(exchange, "a.#"), binding(exchange, "#.b")))
        with subject.session(queue) as session:
            self.publish_to(session, exchange, "a.b")
            assert bodies(fetch_count(session, 1)) == [b"a.b"]
            assert session.fetch(limit=5, wait=0.05) == []

    def test_an_unroutable_message_is_dropped_unless_mandatory(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "direct")
        with subject.session(new_queue(exchange=exchange, routing_key="known")) as session:
            self.publish_to(session, exchange, "unknown")
            with pytest.raises(Unroutable):
                self.publish_to(session, exchange, "unknown", mandatory=True)
            with subject.session() as other:
                self.publish_to(other, exchange, "known", mandatory=True)
            assert bodies(fetch_count(session, 1)) == [b"known"]

    # Broadcasts and notices

    def test_a_broadcast_reaches_every_session_and_counts_them(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "fanout", durable=False)
        queues = [new_queue(exchange=exchange, auto_delete=True, durable=False, no_ack=True) for _ in range(2)]
        message = publication(new_queue(), b"news").message
        with subject.session() as sender, subject.session(queues[0]) as first, subject.session(queues[1]) as second:
            for session in (first, second):
                session.fetch(limit=1, wait=0)
            told = sender.broadcast(exchange, message)
            assert told == 2
            assert bodies(fetch_count(first, 1)) == bodies(fetch_count(second, 1)) == [b"news"]

    def test_a_broadcast_that_nobody_hears_is_none(self, subject: BrokerUnderTest) -> None:
        exchange = Exchange(new_queue().name, "fanout", durable=False)
        with subject.session() as sender:
            told = sender.broadcast(exchange, publication(new_queue(), b"news").message)
            assert told == 0

    def test_notices_outlive_their_session_and_are_read_by_all(self, subject: BrokerUnderTest) -> None:
        topic = new_queue().name
        with subject.session() as session:
            assert session.notices(topic) == []
            session.keep_notices(topic, ["one", "two"], seconds=PATIENCE * 60)
            session.keep_notices(topic, ["three"], seconds=PATIENCE * 60)
            session.keep_notices(topic, [], seconds=PATIENCE * 60)
        with subject.session() as first, subject.session() as second:
            assert sorted(first.notices(topic)) == sorted(second.notices(topic)) == ["one", "three", "two"]
            assert first.notices(new_queue().name) == []

    def test_a_notice_is_forgotten_when_its_time_has_passed(self, subject: BrokerUnderTest) -> None:
        topic = new_queue().name
        with subject.session() as session:
            session.keep_notices(topic, ["brief"], seconds=0.0)
            session.keep_notices(topic, ["lasting"], seconds=PATIENCE * 60)
            assert session.notices(topic) == ["lasting"]
