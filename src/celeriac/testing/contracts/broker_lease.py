"""The contract of leases: who holds what, until when, and what happens to those who fall silent."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import SessionLost
from celeriac.testing.contracts.broker_subject import (
    PATIENCE,
    BrokerUnderTest,
    bodies,
    fetch_count,
    new_queue,
    publication,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.broker import BrokerSession, Queue
    from celeriac.message import Delivery

    Hold = Callable[[int], tuple[BrokerSession, Queue, list[Delivery]]]

LEASE = 0.5


class LeaseContract:
    """What every broker does about leases. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BrokerUnderTest:
        """The broker to test."""
        raise NotImplementedError("a subclass of LeaseContract provides the fixture `subject`")

    @pytest.fixture
    def hold(self, subject: BrokerUnderTest) -> Iterator[Hold]:
        """Opens a session with a short lease that holds messages of a queue of its own."""
        with ExitStack() as stack:

            def hold(count: int) -> tuple[BrokerSession, Queue, list[Delivery]]:
                lease = LEASE
                while True:
                    queue = new_queue()
                    session = stack.enter_context(subject.session(queue, lease=lease, sweep_interval=0.05))
                    items = [publication(queue, b"%d" % number) for number in range(count)]
                    session.publish_many(items, timeout=PATIENCE)
                    try:
                        return session, queue, fetch_count(session, count, limit=count)
                    except SessionLost:
                        # The machine is too busy for such a lease.
                        lease *= 2

            yield hold

    @pytest.fixture
    def rescuer(self, subject: BrokerUnderTest) -> Iterator[BrokerSession]:
        """A session that sweeps often; what it claims itself is safe."""
        with subject.session(lease=30.0, sweep_interval=0.05) as session:
            yield session

    def fall_silent(self, subject: BrokerUnderTest, session: BrokerSession) -> None:
        """Let a session show no sign of life from now on."""
        if subject.silence is not None:
            subject.silence(session)

    def rescue(self, rescuer: BrokerSession, queue: Queue, expected: int) -> list[Delivery]:
        """Sweep and fetch until what a silent session held has come."""
        found: list[Delivery] = []
        rescuer.consume([queue])

        def look() -> bool:
            rescuer.heartbeat()
            found.extend(rescuer.fetch(limit=1000, wait=0.05))
            return len(found) >= expected

        until(look, f"{expected} messages return")
        return found

    def test_messages_of_a_silent_session_return_counted(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        holder, queue, _ = hold(3)
        self.fall_silent(subject, holder)
        again = self.rescue(rescuer, queue, 3)
        assert sorted(bodies(again)) == [b"0", b"1", b"2"]
        assert {(d.deliveries, d.redelivered) for d in again} == {(2, True)}

    def test_a_silent_session_that_held_very_many_is_swept_to_the_end(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        very_many = subject.many // 4
        holder, queue, _ = hold(very_many)
        self.fall_silent(subject, holder)
        assert len(self.rescue(rescuer, queue, very_many)) == very_many

    def test_settling_after_the_lease_is_a_no_op(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        holder, queue, zombie = hold(1)
        self.fall_silent(subject, holder)
        mine = self.rescue(rescuer, queue, 1)
        attempts: list[Callable[[], None]] = [
            lambda: holder.ack_many(zombie, confirm=True),
            lambda: holder.reject_many(zombie),
            lambda: holder.requeue_many(zombie),
            lambda: holder.defer_many([(zombie[0], time.time() + 300)]),
            lambda: holder.dead_letter_many([(zombie[0], "zombie")]),
        ]
        for settle in attempts:
            try:
                settle()
            except SessionLost:
                continue
        assert not [letter for letter in rescuer.dead_letters() if letter.queue == queue.name]
        rescuer.requeue_many(mine)
        (again,) = fetch_count(rescuer, 1)
        assert again.deliveries == 3

    def test_confirmed_acknowledgement_after_the_lease_says_so(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        """Else a task that runs after it is acknowledged could run in two workers."""
        holder, queue, zombie = hold(1)
        self.fall_silent(subject, holder)
        self.rescue(rescuer, queue, 1)
        with pytest.raises(SessionLost):
            holder.ack_many(zombie, confirm=True)

    def test_heartbeat_after_the_lease_says_so(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        holder, queue, _ = hold(1)
        self.fall_silent(subject, holder)
        self.rescue(rescuer, queue, 1)
        with pytest.raises(SessionLost):
            holder.heartbeat()
        holder.close()

    def test_heartbeats_keep_what_is_held(self, subject: BrokerUnderTest, rescuer: BrokerSession) -> None:
        """On a busy machine the test itself may be late with a heartbeat: that proves nothing, and it begins again."""

        def kept() -> bool:
            try:
                return kept_once()
            except SessionLost:
                return False

        def kept_once() -> bool:
            queue = new_queue()
            rescuer.consume([queue])
            with subject.session(queue, lease=LEASE, sweep_interval=0.05) as holder:
                beat = time.monotonic()
                holder.publish_many([publication(queue)])
                held = fetch_count(holder, 1)
                for _ in range(30):
                    lost = self.is_lost(holder)
                    rescuer.heartbeat()
                    taken = rescuer.fetch(limit=5, wait=LEASE / 10)
                    if time.monotonic() - beat > LEASE / 2:
                        return False
                    beat = time.monotonic()
                    assert (lost, taken) == (False, [])
                holder.requeue_many(held)
                return fetch_count(holder, 1)[0].deliveries == 2

        until(kept, "three leases are outlived by heartbeats in time")

    def is_lost(self, session: BrokerSession) -> bool:
        """Send a heartbeat, and say whether it came too late."""
        try:
            session.heartbeat()
        except SessionLost:
            return True
        return False

    def test_the_first_heartbeat_may_come_before_anything_else(self, rescuer: BrokerSession) -> None:
        rescuer.heartbeat()

    def test_a_new_session_works_after_one_was_lost(
        self, subject: BrokerUnderTest, hold: Hold, rescuer: BrokerSession
    ) -> None:
        holder, queue, _ = hold(1)
        self.fall_silent(subject, holder)
        rescuer.ack_many(self.rescue(rescuer, queue, 1), confirm=True)
        holder.close()
        with subject.session(queue) as fresh:
            rescuer.consume([new_queue()])
            fresh.publish_many([publication(queue, b"fresh")])
            assert bodies(fetch_count(fresh, 1)) == [b"fresh"]
