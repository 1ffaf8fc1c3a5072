"""One session with RabbitMQ: consuming, counting deliveries, settling.

What goes over the wire is the client's business, what messages look like there is `envelope`'s, and publishing for the
application is `publishing`'s.

A message is counted, moved or set aside by publishing a copy of it, waiting for the server to confirm it, and only
then acknowledging the original.  A connection that breaks in between leaves both.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from celeriac.broker.amqp import dead_letters, delay, notice_streams
from celeriac.broker.amqp.consuming import Consumption
from celeriac.broker.amqp.counting import Counting
from celeriac.broker.amqp.envelope import copy_headers, copy_properties, without_deaths
from celeriac.broker.amqp.presence import presence_queue, presence_queues
from celeriac.broker.amqp.publishing import PAGE, Publishing, SessionSettings
from celeriac.broker.base import next_session_id
from celeriac.broker.topology import Queue
from celeriac.drivers.amqp import AMQPError, ChannelClosed
from celeriac.drivers.amqp.faults import as_operational
from celeriac.exceptions import OperationalError, SessionClosed, SessionLost, SessionRefused
from celeriac.message import Destination, Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from celeriac.broker.amqp.once import OncePublisher
    from celeriac.broker.topology import Exchange
    from celeriac.drivers.amqp import OutgoingMessage
    from celeriac.drivers.amqp.link import Link
    from celeriac.message import DeadLetter, Delivery, Message

logger = logging.getLogger("celeriac.broker.amqp")

T = TypeVar("T")

_NOT_FOUND, _RESOURCE_LOCKED = 404, 405


class AMQPSession:
    """A session.

    Args:
        link: An open connection, which becomes the session's own.
        settings: What it is told.
    """

    def __init__(self, link: Link, settings: SessionSettings) -> None:
        self.session_id = next_session_id()
        self._link = link
        self._publish_timeout = settings.publish_timeout
        self._publishing = Publishing(link, settings)
        self._consumption: Consumption | None = None
        self._counting = Counting()
        self._exchanges: set[str] = set()
        self._once: OncePublisher | None = None
        self._closed = self._has_dead_queue = False

    def continue_from(self, old: AMQPSession) -> None:
        """Learn from a session whose connection broke what it had not handed out."""
        self._counting.continue_from(old._counting, old._consumption.waiting_headers() if old._consumption else ())

    # --- publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self._publishing.declare(queues, self._link.deadline())

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        if items:
            deadline = time.monotonic() + (self._publish_timeout if timeout is None else timeout)
            may_reopen = self._consumption is None
            plain = [item for item in items if item.once is None]
            if plain:
                self._publishing.publish(plain, deadline, may_reopen=may_reopen)
            if len(plain) < len(items):
                self._publish_once(items, deadline, may_reopen)

    def _publish_once(self, items: Sequence[Publication], deadline: float, may_reopen: bool) -> None:
        if self._once is None:
            from celeriac.broker.amqp.once import OncePublisher

            self._once = OncePublisher(self._link, self._publishing)
        for item in items:
            if item.once is not None:
                self._once.publish(item, item.once, deadline, may_reopen=may_reopen)

    # --- consuming

    def consume(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        deadline = self._link.deadline()
        self._publishing.declare(queues, deadline)
        present = self._declared_presence(queues, deadline)
        try:
            if self._consumption is None:
                self._consumption = Consumption(self._link.open_consuming(deadline), self.session_id)
            left = self._consumption.replace([*queues, *present])
            self._copy_back([self._consumption.hold(delivery) for delivery in left], charge=False)
            self._publishing.bind_delays(queues, deadline)
        except AMQPError as error:
            raise _lost(error) from error

    def _declared_presence(self, queues: Sequence[Queue], deadline: float) -> list[Queue]:
        """What this session consumes to be counted, as far as it may."""
        present = presence_queues(queues)
        try:
            self._publishing.declare(present, deadline)
        except SessionLost:
            raise
        except OperationalError as error:
            logger.warning("Clients cannot count this session, and wait longer for answers: %s", error)
            return []
        return present

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        consumption = self._consumption
        try:
            if consumption is None:
                self._link.drain(wait)
                return []
            consumption.check_open()
            found = consumption.take(limit)
            if not found:
                consumption.tune(limit)
                found = self._wait(consumption, limit, wait)
            while 0 < len(found) < limit and self._receive(consumption, 0.0):
                more = consumption.take(limit - len(found))
                if not more:
                    break
                found += more
            self._counting.hand_out(found)
            return found
        except AMQPError as error:
            raise _lost(error) from error

    def _wait(self, consumption: Consumption, limit: int, wait: float) -> list[Delivery]:
        """Wait for the first messages."""
        deadline = time.monotonic() + wait
        while True:
            due = min(deadline, consumption.flush_at)
            seen = self._receive(consumption, max(due - time.monotonic(), 0.0))
            found = consumption.take(limit)
            if found:
                return found
            if not seen:
                now = time.monotonic()
                consumption.flush_due(now)
                if now < due or now >= deadline:
                    return found

    def _receive(self, consumption: Consumption, timeout: float) -> int:
        """Read once; messages whose holder died are counted before anybody gets them."""
        seen = self._link.drain(timeout)
        if consumption.channel.cancelled:
            self._resume(consumption)
        consumption.collect()
        returned = []
        for delivery in consumption.take_returned():
            if self._counting.is_spared(delivery.message.headers):
                consumption.return_counted(delivery)
            else:
                returned.append(delivery)
        for start in range(0, len(returned), PAGE):
            self._count(consumption, returned[start : start + PAGE])
        return seen

    def _count(self, consumption: Consumption, returned: list[Delivery]) -> None:
        """Count one more delivery of messages in a way that outlives this session.

        Where the server takes no copies, because of an alarm or a full queue, they are handed out as they are, and
        the count lasts until the next holder dies.
        """
        refused: Sequence[int] = range(len(returned))
        if self._link.connection.blocked is None:
            self._counting.charge(returned)
            refused = self._publish_copies(consumption, returned, self._copies(returned, charge=True))
        for position in refused:
            delivery = returned[position]
            delivery.deliveries += 1
            delivery.redelivered = True
            consumption.return_counted(delivery)

    def _resume(self, consumption: Consumption) -> None:
        """Consume again where the server cancelled: it does so when a queue is deleted or changes its leader."""
        cancelled = consumption.cancelled()
        if cancelled:
            self._publishing.declare_anew(cancelled, self._link.deadline())
            consumption.tune(1)

    # --- settling

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        self._check_open()
        mine = self._release(deliveries)
        if mine or confirm:
            self._settled(mine, confirm=confirm)

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self._check_open()
        mine = self._release(deliveries)
        consumption = self._consumption
        if mine and consumption is not None:
            try:
                consumption.channel.nack_many([delivery.tag for delivery in mine], requeue=False)
            except AMQPError as error:
                raise _lost(error) from error

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        self._check_open()
        self._in_pages(self._release(deliveries), lambda page: self._copy_back(page, charge=charge))

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        self._check_open()
        due = {delivery.tag: not_before for delivery, not_before in items if self._is_mine(delivery)}
        mine = self._release([delivery for delivery, _ in items])
        self._in_pages(mine, lambda page: self._move(page, [self._deferred(d, due[d.tag]) for d in page]))

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        self._check_open()
        reasons = {delivery.tag: reason for delivery, reason in items if self._is_mine(delivery)}
        mine = self._release([delivery for delivery, _ in items])
        if mine:
            self._declare_dead_queue()
        self._in_pages(mine, lambda page: self._move(page, [dead_letters.entry(d, reasons[d.tag]) for d in page]))

    def _is_mine(self, delivery: Delivery) -> bool:
        return delivery.session_id == self.session_id

    def _release(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Take deliveries from those held; others are left out."""
        consumption = self._consumption
        if consumption is None:
            return []
        lost = self._link.connection.error or consumption.channel.error
        if lost is not None:
            raise SessionLost(f"the broker has taken back what this session held: {lost}") from lost
        return consumption.release(deliveries)

    def _in_pages(self, mine: list[Delivery], work: Callable[[list[Delivery]], None]) -> None:
        try:
            for start in range(0, len(mine), PAGE):
                work(mine[start : start + PAGE])
        except AMQPError as error:
            raise _lost(error) from error

    def _settled(self, mine: Sequence[Delivery], *, confirm: bool = False) -> None:
        consumption = self._consumption
        if consumption is None:
            return
        try:
            consumption.acknowledge(mine, at_once=confirm)
            if confirm:
                consumption.confirm_settled()
        except AMQPError as error:
            raise _lost(error) from error

    def flush(self) -> None:
        self._check_open()
        if self._consumption is not None:
            try:
                self._consumption.flush()
            except AMQPError as error:
                raise _lost(error) from error

    def _copy_back(self, mine: Sequence[Delivery], *, charge: bool) -> None:
        """Put messages back to the end of their queues, with the number their next delivery has."""
        if mine:
            self._move(mine, self._copies(mine, charge=charge))

    def _copies(self, mine: Sequence[Delivery], *, charge: bool) -> list[OutgoingMessage]:
        return [
            (
                "",
                delivery.queue,
                delivery.message.body,
                copy_properties(delivery.message),
                copy_headers(delivery, delivery.deliveries + charge),
                True,
            )
            for delivery in mine
        ]

    def _deferred(self, delivery: Delivery, not_before: float) -> OutgoingMessage:
        headers = copy_headers(delivery, delivery.deliveries)
        seconds = delay.whole_seconds(not_before, time.time())
        if seconds <= 0:
            properties = copy_properties(delivery.message)
            return ("", delivery.queue, delivery.message.body, properties, headers, True)
        self._publishing.prepare_delay("", delivery.queue, self._link.deadline())
        exchange, routing_key = delay.delay_route(seconds, delay.queue_word(delivery.queue))
        properties = copy_properties(delivery.message, keep_expiration=False)
        return (exchange, routing_key, delivery.message.body, properties, without_deaths(headers), True)

    def _move(self, mine: Sequence[Delivery], copies: Sequence[OutgoingMessage]) -> None:
        """Publish copies, and acknowledge their originals once they are confirmed.

        Where a copy is refused, because its queue is full or gone, the original goes back as it is.
        """
        consumption = self._consumption
        if consumption is not None:
            refused = self._publish_copies(consumption, mine, copies)
            if refused:
                consumption.release([mine[position] for position in refused])
                consumption.channel.nack_many([mine[position].tag for position in refused])

    def _publish_copies(
        self, consumption: Consumption, mine: Sequence[Delivery], copies: Sequence[OutgoingMessage]
    ) -> Sequence[int]:
        """Returns the positions of those refused; the others are settled."""
        refused = dict(self._link.publish((copies,), self._link.deadline(), confirm=True))
        moved = [delivery for position, delivery in enumerate(mine) if position not in refused]
        consumption.release(moved)
        consumption.acknowledge(moved, at_once=True)
        return list(refused)

    # --- dead letters

    def _declare_dead_queue(self) -> None:
        if not self._has_dead_queue:
            declaration = dead_letters.declaration()
            self._with_link(lambda deadline: self._publishing.declare_quietly(declaration, deadline))
            self._has_dead_queue = True

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        self._declare_dead_queue()
        return self._with_link(lambda deadline: dead_letters.read_newest(self._link, limit, deadline))

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        self._declare_dead_queue()
        return self._with_link(lambda deadline: dead_letters.remove(self._link, ids, deadline))

    # --- the rest

    def heartbeat(self) -> None:
        self._check_open()
        try:
            self._link.drain(0.0)
            if self._consumption is not None:
                self._consumption.check_open()
        except AMQPError as error:
            raise _lost(error) from error

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        self._check_open()
        if exchange.name not in self._exchanges:
            self.declare([Queue("", exchange)])
            self._exchanges.add(exchange.name)
        self.publish_many([Publication(message, Destination(exchange.name, ""))])
        return self._count_present(presence_queue(exchange.name))

    def _count_present(self, queue: Queue) -> int | None:
        try:
            # Declared rather than asked for: where there is none, the answer to a question closes the channel.
            return self._link.control(deadline := self._link.deadline()).queue_declare(
                queue.name, durable=queue.durable, arguments=queue.arguments, deadline=deadline
            ).consumers  # fmt: skip
        except ChannelClosed:
            return None
        except AMQPError as error:
            raise as_operational(error) from error

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        self._check_open()
        self._with_link(lambda deadline: notice_streams.append(self._link, topic, notices, seconds, deadline))

    def notices(self, topic: str) -> list[str]:
        self._check_open()
        return self._with_link(lambda deadline: notice_streams.read(self._link, topic, deadline))

    def purge(self, queue: str) -> int:
        self._check_open()
        arrived = [] if self._consumption is None else self._consumption.take_arrived(queue)
        self._settled(arrived)
        return len(arrived) + self._ask(queue, lambda channel, until: channel.queue_purge(queue, deadline=until))

    def count_dead_letters(self) -> int:
        return self.depths([dead_letters.DEAD_QUEUE])[dead_letters.DEAD_QUEUE]

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        found: dict[str, int] = {}
        for name in queues:
            waiting = self._ask(
                name,
                lambda channel, until, name=name: channel.queue_declare(name, passive=True, deadline=until).messages,
            )
            arrived = 0 if self._consumption is None else self._consumption.arrived(name)
            found[name] = waiting + arrived
        return found

    def _ask(self, queue: str, question: Callable[..., int]) -> int:
        """A number about a queue; 0 when there is no such queue, or when it belongs to another connection."""

        def ask(deadline: float) -> int:
            try:
                return question(self._link.control(deadline), deadline)
            except ChannelClosed as error:
                if error.reply_code in (_NOT_FOUND, _RESOURCE_LOCKED):
                    return 0
                raise

        return self._with_link(ask)

    def _with_link(self, work: Callable[[float], T]) -> T:
        try:
            return work(self._link.deadline())
        except AMQPError as error:
            raise as_operational(error) from error

    def wake(self) -> None:
        self._link.connection.wake()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        connection, consumption = self._link.connection, self._consumption
        if consumption is not None and not connection.closed and connection.blocked is None:
            try:
                self._give_back(consumption)
            except (AMQPError, OperationalError):
                # The server returns what is held as soon as the connection is gone, though counted.
                connection.abort()
        self._link.close()

    def _give_back(self, consumption: Consumption) -> None:
        """Release everything, uncharged."""
        consumption.flush()
        consumption.stop()
        mine = [d for d in consumption.held.values() if not consumption.is_exclusive(d.queue)]
        mine += [consumption.hold(delivery) for delivery in consumption.take_arrived()]
        for start in range(0, len(mine), PAGE):
            self._copy_back(mine[start : start + PAGE], charge=False)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session with the AMQP broker was closed; open another one")


def _lost(error: AMQPError) -> OperationalError:
    """What to raise when consuming or settling failed: no error leaves the session as it was."""
    failure = as_operational(error)
    return failure if isinstance(failure, SessionLost | SessionRefused) else SessionLost(str(error))
