"""The session of every SQL broker: claiming, settling, leases, delays.

What a database does in a way of its own is in its store.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from celeriac.broker.base import MAX_NOTICES, BrokerOptions, next_session_id
from celeriac.broker.bindings import check_sizes
from celeriac.broker.sql.envelope import to_dead_letter, to_delivery, to_row
from celeriac.broker.sql.topology import Topology
from celeriac.exceptions import OperationalError, PublishTimeout, SessionClosed, SessionLost
from celeriac.message import Destination, Message, Publication

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from celeriac.broker.bindings import BindingRow
    from celeriac.broker.sql.once import OncePublisher
    from celeriac.broker.sql.store import Store
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Once

#: Seconds between two looks at delayed messages while there is other work: how late one may come.
LOOK_INTERVAL = 0.05
#: Seconds in which a session that is told of everything need not look.
TOLD_INTERVAL = 1.0
#: Seconds between two claims of what others are claiming.
RIVAL_INTERVAL = 0.01


class SQLSession:
    """One connection, and one row in the table of sessions from the first use as a consumer.

    A larger ``priority`` goes first; within one priority messages leave in the order they were published.
    The queues of a session are served in turn, so that a long one does not starve the others.

    Args:
        store: The connection.
        options: Settings common to all drivers.
    """

    def __init__(self, store: Store, options: BrokerOptions) -> None:
        self.session_id = next_session_id()
        self._store = store
        self._statements = store.statements
        self._options = options
        self._topology = Topology(store)
        self._once: OncePublisher | None = None
        self._queues: list[str] = []
        #: Nobody else consumes these queues, as far as they say.
        self._is_sole = False
        self._is_busy = False
        #: Until then such a session would be told of whatever comes.
        self._told_until = -math.inf
        self._turn = 0
        #: Id of the session's row: the fencing token of everything it claims.
        self._token: int | None = None
        self._held: set[int] = set()
        self._renewed_at = 0.0
        self._swept_at = -math.inf
        self._look_at = -math.inf
        self._closed = False

    # Publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self._topology.declare(queues)

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._publish(items, timeout, {})

    def _publish(self, items: Sequence[Publication], timeout: float | None, known: dict[str, list[BindingRow]]) -> None:
        """Publish; the bindings that are ``known`` are not read."""
        self._check_open()
        seconds = self._options.publish_timeout if timeout is None else timeout
        check_sizes(items, self._options.max_body_size)
        try:
            with self._store.within(seconds):
                rows = self._topology.rows_of([item for item in items if item.once is None], known)
                if rows:
                    self._store.add_messages(rows, durable=not all(map(_is_transient, items)))
                for item in items:
                    if item.once is not None:
                        self._publish_once(item, item.once)
        except TimeoutError as exc:
            raise PublishTimeout(
                f"publishing {len(items)} messages took longer than {seconds:g} s (broker_publish_timeout): {exc}"
            ) from exc

    def _publish_once(self, item: Publication, once: Once) -> None:
        if self._once is None:
            # Few processes send such messages.
            from celeriac.broker.sql.once import OncePublisher

            self._once = OncePublisher(self._store)
        self._once.publish(once, self._topology.rows_of([item]))

    # Taking

    def consume(self, queues: Sequence[Queue]) -> None:
        self.declare(queues)
        self._topology.consume(queues, self._row())
        self._queues = list(dict.fromkeys(queue.name for queue in queues))
        self._is_sole = bool(queues) and all(queue.auto_delete or queue.exclusive for queue in queues)
        self._turn = 0
        self._store.listen(self._queues)

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        deadline = time.monotonic() + wait
        now = time.monotonic()
        # Where messages were claimed a moment ago there may be more.
        looking = not self._is_busy or now >= self._look_at
        due = 0.0 if self._is_busy or wait <= 0 else max(0.0, self._told_until - now)
        while True:
            self._stay_alive()
            if not due:
                # One question while there is nothing to do: an idle session asks it every second.
                due = self._look() if looking else 0.0
                if due <= 0:
                    if deliveries := self._claim(limit):
                        self._is_busy = not self._is_sole or len(deliveries) == limit
                        return deliveries
                    # Others are claiming what waits.
                    due = RIVAL_INTERVAL if looking else 0.0
                self._is_busy = False
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            if due and self._store.wait(min(remaining, due, self._options.lease / 3)):
                return self._claim(limit)
            # What this session alone is told of is there for it to claim.
            looking = not (due and self._is_sole and self._store.has_heard)
            due = 0.0

    def _claim(self, limit: int) -> list[Delivery]:
        count = len(self._queues)
        if not count:
            return []
        turn = self._turn % count
        self._turn += 1
        rows = self._store.claim(self._row(), self._queues[turn:] + self._queues[:turn], limit)
        now = time.time()
        expired = [row[0] for row in rows if row[10] is not None and row[10] <= now]
        if expired:
            self._settle(self._statements.ack, expired)
        deliveries = [to_delivery(row[:10], self.session_id) for row in rows if row[10] is None or row[10] > now]
        self._held.update(delivery.tag for delivery in deliveries)
        return deliveries

    def _look(self) -> float:
        """Let due messages wait; returns the seconds until the next ones are due, 0 when any wait."""
        count = len(self._queues)
        if not count:
            return math.inf
        looks = [self._statements.now] + [self._statements.due] * count + [self._statements.waits] * count
        ((now, *seen),) = self._store.query(f"SELECT {', '.join(looks)}", [*self._queues, *self._queues])
        dues, waits = seen[:count], seen[count:]
        started = time.monotonic()
        promoted = [
            self._store.promote(queue)
            for queue, due in zip(self._queues, dues, strict=True)
            if due is not None and due <= now
        ]
        if any(promoted):
            self._look_at = started if max(promoted) == 1000 else started + LOOK_INTERVAL
            return 0.0
        until_due = min((due - now for due in dues if due is not None), default=math.inf)
        # Somebody else holds rows that are due: look again soon, but not in a circle.
        until_due = max(until_due, 0.001)
        self._look_at = started + min(until_due, LOOK_INTERVAL)
        if self._is_sole and self._store.tells:
            self._told_until = started + min(until_due, TOLD_INTERVAL)
        return 0.0 if any(waits) else float(until_due)

    # Settling

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        if not (ids := self._mine(deliveries)):
            return
        believed = len(self._held.intersection(ids))
        if self._settle(self._statements.ack, ids, durable=confirm) < believed and confirm:
            raise SessionLost("messages to be acknowledged are not held by this session any more; others may run them")

    def flush(self) -> None:
        """Nothing is put off here."""

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self.ack_many(deliveries)

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        if ids := self._mine(deliveries):
            parameters = (int(charge), self._store.ids_parameter(ids), self._token, self._token)
            self._store.execute(self._statements.requeue, parameters)
            self._held.difference_update(ids)
            self._store.announce(_queues_of(deliveries))

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        mine = set(self._mine([delivery for delivery, _ in items]))
        rows = [
            (not_before, delivery.tag, self._token, self._token)
            for delivery, not_before in items
            if delivery.tag in mine
        ]
        if rows:
            with self._store.transaction():
                self._store.execute_many(self._statements.defer, rows)
            self._held.difference_update(mine)
            self._store.announce(_queues_of(delivery for delivery, _ in items))

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        reasons = {delivery.tag: reason for delivery, reason in items}
        ids = self._mine([delivery for delivery, _ in items])
        if ids:
            rows = [(reasons[id_], id_, self._token, self._token) for id_ in ids]
            with self._store.transaction():
                self._store.execute_many(self._statements.bury, rows)
                self._settle(self._statements.ack, ids)

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        return [to_dead_letter(row) for row in self._store.query(self._statements.dead_letters, (limit,))]

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        known = [int(each) for each in ids if each.isdecimal()]
        if not known:
            return 0
        return self._store.execute(self._statements.remove_dead_letters, (self._store.ids_parameter(known),))

    def _mine(self, deliveries: Iterable[Delivery]) -> list[int]:
        """Ids of the deliveries of this session."""
        self._check_open()
        return [delivery.tag for delivery in deliveries if delivery.session_id == self.session_id]

    def _settle(self, statement: str, ids: Sequence[int], *, durable: bool = False) -> int:
        """Returns how many of them were held."""
        parameters = (self._store.ids_parameter(ids), self._token, self._token)
        count = self._store.execute(statement, parameters, durable=durable)
        self._held.difference_update(ids)
        return count

    # Leases

    def heartbeat(self) -> None:
        self._check_open()
        if self._token is not None:
            self._renew()
        if time.monotonic() - self._swept_at >= self._options.sweep_interval:
            self._swept_at = time.monotonic()
            self._sweep()

    def take_over(self, old: SQLSession) -> bool:
        """Continue the lease of a session whose connection broke.

        Returns:
            True when it was still alive; else this session remains a new one.

        Raises:
            OperationalError: It could not be found out; this session's connection is closed.
        """
        if old._token is None:
            return False
        try:
            return self._continue(old, old._token)
        except BaseException:
            # The lease is left as it is, for the next attempt.
            self._closed = True
            self._store.close()
            raise

    def _continue(self, old: SQLSession, token: int) -> bool:
        self._token = token
        try:
            self._renew()
        except SessionLost:
            self._token = None
            return False
        self.session_id, self._held = old.session_id, old._held
        held = self._store.query(self._statements.held_ids, (token,))
        # Claims need not have been on disk when the server crashed.
        if forgotten := self._held.difference(row[0] for row in held):
            self._store.execute(self._statements.hold, (token, self._store.ids_parameter(list(forgotten))))
        # Claimed by a statement whose answer never arrived.
        unheard = [row for row in held if row[0] not in self._held]
        if unheard:
            ids = self._store.ids_parameter([row[0] for row in unheard])
            self._store.execute(self._statements.free, (0, ids, token))
            self._store.announce(list({row[1] for row in unheard}))
        return True

    def _row(self) -> int:
        """Id of this session's row, which is made when it is first needed."""
        if self._token is None:
            lease = self._options.lease
            self._token = self._store.insert(self._statements.open_session, (lease, lease))
            self._renewed_at = time.monotonic()
        return self._token

    def _stay_alive(self) -> None:
        """A session that keeps fetching is not silent."""
        if self._token is not None and time.monotonic() - self._renewed_at > self._options.lease / 3:
            self._renew()

    def _renew(self) -> None:
        started = time.monotonic()
        if not self._store.execute(self._statements.renew, (self._token,), durable=False):
            raise SessionLost(
                f"the session was silent for longer than its lease of {self._options.lease:g} s "
                f"(broker_lease); what it held belongs to others now"
            )
        self._renewed_at = started

    def _sweep(self) -> None:
        # One question, while there is nothing to sweep.
        ((lapsed, orphaned, unused, expired),) = self._store.query(self._statements.litter)
        for statement, is_needed in (
            (self._statements.lapsed_sessions, lapsed),
            (self._statements.orphaned_sessions, orphaned),
        ):
            while is_needed and (found := self._store.query(statement)):
                for (token,) in found:
                    self._end(token, charge=True)
        if unused or expired:
            self._topology.sweep()

    def _end(self, token: int, *, charge: bool) -> None:
        """Return all that a session held, in pages, then the session's row."""
        while held := self._store.query(self._statements.held_by, (token,)):
            ids = self._store.ids_parameter([row[0] for row in held])
            self._store.execute(self._statements.free, (int(charge), ids, token))
            self._store.announce(list({row[1] for row in held}))
            if charge:
                # Others shall not sweep this session because it is busy sweeping.
                self._stay_alive()
        self._topology.end_consumer(token)
        self._store.execute(self._statements.end_session, (token,))

    # The rest

    def purge(self, queue: str) -> int:
        self._check_open()
        return self._store.execute(self._statements.purge, (queue,))

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        return {queue: int(self._store.query(self._statements.depth, (queue,))[0][0]) for queue in queues}

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        return {queue: int(self._store.query(self._statements.delayed, (queue,))[0][0]) for queue in queues}

    def count_dead_letters(self) -> int:
        self._check_open()
        return int(self._store.query(self._statements.count_dead_letters)[0][0])

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        self._check_open()
        known, receivers = self._topology.audience(exchange.name)
        self._publish([Publication(message, Destination(exchange.name, ""))], None, known)
        return receivers

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        self._check_open()
        queue, now = _notice_queue(topic), time.time()
        rows = [
            to_row(Publication(Message(text.encode(), "text/plain", "utf-8", {}, {}), Destination("", queue)), queue,
                   now + seconds, now)
            for text in notices
        ]  # fmt: skip
        if rows:
            self._store.add_messages(rows)
        self._store.execute(self._statements.drop_expired, (queue,))
        for (newest,) in self._store.query(self._statements.newest_notices, (queue, MAX_NOTICES)):
            self._store.execute(self._statements.drop_notices, (queue, newest))

    def notices(self, topic: str) -> list[str]:
        self._check_open()
        rows = self._store.query(self._statements.notices, (_notice_queue(topic),))
        return [bytes(body).decode() for (body,) in rows]

    def wake(self) -> None:
        self._store.wake()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            with self._store.within(self._options.publish_timeout):
                # A session that lapsed leaves the rest to the sweep, which charges the deliveries.
                if self._token is not None and self._store.query(self._statements.alive, (self._token,)):
                    self._end(self._token, charge=False)
        except (OperationalError, TimeoutError):
            # The connection is broken: the lease will run out.
            return
        finally:
            self._store.close()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed(f"the session of the {self._store.dialect.name} broker was closed; open another one")


def _notice_queue(topic: str) -> str:
    """The queue that keeps notices; nobody consumes it."""
    return f"celeriac.notices.{topic}"


def _is_transient(item: Publication) -> bool:
    """It need not outlive a crash of the server."""
    return item.message.properties.get("delivery_mode") == 1


def _queues_of(deliveries: Iterable[Delivery]) -> list[str]:
    return list({delivery.queue for delivery in deliveries})
