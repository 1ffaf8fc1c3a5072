"""What the consumers of one connection take from its session, and a `Channel`, by which they are told apart.

A connection has one session and one thread; so has all of this.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.base import BrokerSession
    from celeriac.broker.topology import Queue
    from celeriac.message import Delivery
    from celeriac.messaging.consumer import Consumer
    from celeriac.messaging.message import Message

__all__ = ["Channel", "Consuming", "HasSession"]

logger = logging.getLogger("celeriac.messaging")

#: Messages that may be unsettled at once where no consumer has a prefetch count.
DEFAULT_PREFETCH: Final = 100
#: Longest wait in one fetch, in seconds.
_MAX_WAIT: Final = 5.0


class HasSession(Protocol):
    """A connection, as far as it matters here."""

    @property
    def session(self) -> BrokerSession: ...


class Consuming:
    """All consumers of one connection.

    Args:
        connection: Has the session.
        heartbeat: Seconds between two extensions of the lease.

    Attributes:
        unsettled: Deliveries that were handed over and not settled, in order.
    """

    def __init__(self, connection: HasSession, heartbeat: float) -> None:
        self._connection = connection
        self._interval = heartbeat
        self._consumers: dict[str, Consumer] = {}
        self._session: BrokerSession | None = None
        self.unsettled: dict[Any, Delivery] = {}
        self._beat = 0.0

    # -- who consumes what --------------------------------------------------------------------------------------

    @property
    def queues(self) -> list[Queue]:
        """What is consumed."""
        wanted = {}
        for name, consumer in self._consumers.items():
            wanted[name] = next(queue for queue in consumer.queues if queue.name == name)
        return list(wanted.values())

    def add(self, consumer: Consumer, queues: Sequence[Queue]) -> None:
        """Hand the messages of these queues to a consumer."""
        for queue in queues:
            self._consumers[queue.name] = consumer
        self._apply()

    def remove(self, consumer: Consumer, names: Sequence[str] | None = None) -> None:
        """Hand a consumer no more messages, of these queues or of any."""
        before = len(self._consumers)
        for name, owner in list(self._consumers.items()):
            if owner is consumer and (names is None or name in names):
                del self._consumers[name]
        if len(self._consumers) < before:
            self._apply()

    def consumes(self, consumer: Consumer, name: str) -> bool:
        """The messages of a queue go to a consumer."""
        return self._consumers.get(name) is consumer

    def _apply(self) -> None:
        session = self._current()
        # A session that consumes nothing says so by fetching no more.
        if self._consumers:
            session.consume(self.queues)

    def _current(self) -> BrokerSession:
        session = self._connection.session
        if session is not self._session:
            self._session, self._beat = session, time.monotonic() + self._interval
            self.unsettled.clear()
            if self._consumers:
                session.consume(self.queues)
        return session

    # -- messages -----------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """Messages that may still be fetched."""
        counts = [consumer.prefetch_count for consumer in set(self._consumers.values())]
        limit = sum(counts) if counts and all(counts) else max(DEFAULT_PREFETCH, *counts)
        return limit - len(self.unsettled)

    @property
    def can_receive(self) -> bool:
        """There is something to consume, and room for it."""
        return bool(self._consumers) and self.room > 0

    def receive(self, wait: float) -> int:
        """Hand over what comes next; returns the number of messages.

        Args:
            wait: Seconds to wait for the first one; a session's ``wake`` ends that early.

        Raises:
            SessionLost: The connection broke.
        """
        session = self._current()
        self.heartbeat()
        if not self.can_receive:
            return 0
        deliveries = session.fetch(limit=self.room, wait=max(0.0, min(wait, self._beat - time.monotonic())))
        for delivery in deliveries:
            self.unsettled[_key(delivery)] = delivery
        for delivery in deliveries:
            consumer = self._consumers.get(delivery.queue)
            if consumer is None:
                # Its consumer was cancelled by the callback of a message before it.
                self.release(delivery)
            else:
                consumer.take(delivery)
        return len(deliveries)

    def drain(self, timeout: float | None) -> None:
        """Hand over at least one message.

        Args:
            timeout: Seconds to wait for it; None is as long as it takes.

        Raises:
            TimeoutError: None came in time.
            SessionLost: The connection broke.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _MAX_WAIT if deadline is None else max(0.0, deadline - time.monotonic())
            if self.receive(left):
                return
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"no message came within {timeout} s")
            if not self.can_receive:
                time.sleep(min(left, 0.05))

    def heartbeat(self) -> None:
        """Extend the lease of what is unsettled, when that is due.

        Raises:
            SessionLost: The connection broke, or the lease had run out.
        """
        now = time.monotonic()
        if now >= self._beat:
            self._current().heartbeat()
            self._beat = now + self._interval

    def delivered_until(self, message: Message) -> list[Delivery]:
        """What is unsettled of a message's channel, up to the message."""
        found = []
        for key, delivery in self.unsettled.items():
            consumer = self._consumers.get(delivery.queue)
            if consumer is None or consumer.channel is message.channel:
                found.append(delivery)
            if key == _key(message.delivery):
                break
        return found

    # -- settling -----------------------------------------------------------------------------------------------

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle for good."""
        session = self._settle(*deliveries)
        session.ack_many(deliveries)
        session.flush()

    def reject(self, delivery: Delivery) -> None:
        """Discard."""
        self._settle(delivery).reject_many([delivery])

    def requeue(self, delivery: Delivery) -> None:
        """Give back, as delivered once more."""
        self._settle(delivery).requeue_many([delivery])

    def release(self, delivery: Delivery) -> None:
        """Give back, as if it had never been delivered."""
        self._settle(delivery).requeue_many([delivery], charge=False)

    def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Put into the dead-letter store."""
        self._settle(delivery).dead_letter_many([(delivery, reason)])

    def _settle(self, *deliveries: Delivery) -> BrokerSession:
        for delivery in deliveries:
            self.unsettled.pop(_key(delivery), None)
        return self._current()


def _key(delivery: Delivery) -> Any:
    return delivery.session_id, delivery.queue, delivery.tag


class Channel:
    """A part of a connection: consumers that are closed together.

    Args:
        connection: The connection.
        consuming: What it consumes.
    """

    def __init__(self, connection: Any, consuming: Consuming) -> None:
        self.connection = connection
        self.consuming = consuming
        self.consumers: list[Consumer] = []

    @property
    def session(self) -> BrokerSession:
        """The session of the connection."""
        session: BrokerSession = self.connection.session
        return session

    def close(self) -> None:
        """Cancel its consumers."""
        for consumer in list(self.consumers):
            consumer.cancel()
        self.consumers.clear()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
