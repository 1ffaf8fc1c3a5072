"""`EventReceiver`: consumes events and hands them to functions by their type."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.topology import Queue
from celeriac.current import get_current_app
from celeriac.events.wire import event_exchange, read_events, utc_offset
from celeriac.exceptions import ImproperlyConfigured, SerializationError
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from celeriac.broker.base import BrokerSession
    from celeriac.message import Delivery

__all__ = ["EventReceiver"]

logger = logging.getLogger(__name__)

#: Messages taken in one fetch, and seconds of one wait: others than the caller's limits must be looked at now and then.
MAX_FETCH, MAX_WAIT = 100, 1.0
#: What a worker's clock is ahead of the event of a client whose task it runs.
CLIENT_CLOCK_SKEW = -1


class EventReceiver:
    """Receives events of all senders of a broker.

    Args:
        channel: What `Celery.connection` returns.
        handlers: Functions of an event by its type; ``*`` is called for every type that has none of its own.
        routing_key: Which events: ``#``, ``task.#``, ``worker.#`` and the like.
        node_id: Names the queue; None makes an id.
        app: The application; None is the current one.
        queue_prefix: First part of the queue's name; None is ``event_queue_prefix``.
        accept: Names of serializers to accept; None is ``accept_content`` and ``event_serializer``.
        queue_ttl: Seconds an event waits in the queue; None is ``event_queue_ttl``.
        queue_expires: Seconds after which the queue goes when nobody receives; None is ``event_queue_expires``.
        queue_exclusive: Nobody else may use the queue; None is ``event_queue_exclusive``.
        queue_durable: The queue outlives a restart of the broker; None is ``event_queue_durable``.

    Raises:
        ImproperlyConfigured: The queue would be exclusive and durable, which brokers refuse.
    """

    def __init__(
        self,
        channel: Any,
        handlers: Mapping[str, Callable[[dict[str, Any]], Any]] | None = None,
        routing_key: str = "#",
        node_id: str | None = None,
        app: Any = None,
        queue_prefix: str | None = None,
        accept: Iterable[str] | None = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_exclusive: bool | None = None,
        queue_durable: bool | None = None,
    ) -> None:
        self.app = app or get_current_app()
        conf = self.app.conf
        self.connection = channel
        self.handlers = {} if handlers is None else handlers
        self.routing_key = routing_key
        self.node_id = node_id or uuid4()
        self.queue_prefix = conf.event_queue_prefix if queue_prefix is None else queue_prefix
        exclusive = conf.event_queue_exclusive if queue_exclusive is None else queue_exclusive
        durable = conf.event_queue_durable if queue_durable is None else queue_durable
        if exclusive and durable:
            raise ImproperlyConfigured(
                "a receiver's queue cannot be exclusive and durable: set event_queue_exclusive or event_queue_durable "
                "to False"
            )
        self.exchange = event_exchange(conf, channel.broker.capabilities)
        self.queue = Queue(
            f"{self.queue_prefix}.{self.node_id}",
            self.exchange,
            routing_key,
            durable=durable,
            exclusive=exclusive,
            auto_delete=not durable,
            message_ttl=conf.event_queue_ttl if queue_ttl is None else queue_ttl,
            expires=conf.event_queue_expires if queue_expires is None else queue_expires,
            no_ack=True,
        )
        if accept is None:
            accept = {*conf.accept_content, conf.event_serializer}
        self.accept = self.app.serializers.accept_set(accept)

    def process(self, type: str, event: dict[str, Any]) -> None:
        """Hand an event to its function.

        Args:
            type: Its type.
            event: The event.
        """
        handler = self.handlers.get(type) or self.handlers.get("*")
        if handler is not None:
            handler(event)

    def capture(
        self,
        limit: int | None = None,
        timeout: float | None = None,
        wakeup: bool = True,
        stop: threading.Event | None = None,
    ) -> None:
        """Receive events, and hand them to their functions, until a limit is reached.

        Args:
            limit: Messages to receive; None is any number.
            timeout: Seconds to receive for; None is as long as it takes.
            wakeup: Ask all workers for a heartbeat first.
            stop: Set by another thread, it ends the capture within a second.

        Raises:
            OperationalError: The connection broke.
        """
        for _ in self.itercapture(limit, timeout, wakeup, stop):
            pass

    def itercapture(
        self,
        limit: int | None = None,
        timeout: float | None = None,
        wakeup: bool = True,
        stop: threading.Event | None = None,
    ) -> Iterator[list[dict[str, Any]]]:
        """As `capture`, and give the events of each message after they were handed over."""
        deadline = None if timeout is None else time.monotonic() + timeout
        session: BrokerSession = self.connection.session
        try:
            session.consume([self.queue])
            if wakeup:
                self.wakeup_workers()
            yield from self._receive(session, limit, deadline, stop or threading.Event())
        finally:
            # The queue goes with its session, and another receiver of this connection gets one of its own.
            self.connection.close()

    def _receive(
        self, session: BrokerSession, limit: int | None, deadline: float | None, stop: threading.Event
    ) -> Iterator[list[dict[str, Any]]]:
        count = 0
        interval = self.app.conf.broker_lease / 3
        beat = time.monotonic() + interval
        while not stop.is_set():
            now = time.monotonic()
            if now >= beat:
                session.heartbeat()
                beat = now + interval
            if deadline is not None and now >= deadline:
                return
            wait = min(MAX_WAIT, beat - now, MAX_WAIT if deadline is None else deadline - now)
            wanted = MAX_FETCH if limit is None else min(MAX_FETCH, limit - count)
            for delivery in session.fetch(limit=wanted, wait=max(wait, 0.0)):
                count += 1
                yield self._take(delivery)
            if limit is not None and count >= limit:
                return

    def _take(self, delivery: Delivery) -> list[dict[str, Any]]:
        """Hand over the events of a message; what cannot be read is none."""
        if delivery.malformed is not None:
            logger.warning("An event cannot be read: %s", delivery.malformed)
            return []
        try:
            events = read_events(delivery.message, self.app.serializers.loads, self.accept)
        except SerializationError as exc:
            logger.warning("An event cannot be read: %s: %s", type(exc).__name__, exc)
            return []
        for event in events:
            self.process(*self.event_from_message(event))
        return events

    def wakeup_workers(self) -> None:
        """Ask all workers for a heartbeat, so that they are known at once."""
        control = getattr(self.app, "control", None)
        if control is not None:
            control.broadcast("heartbeat")

    def event_from_message(self, body: dict[str, Any], localize: bool = True) -> tuple[str, dict[str, Any]]:
        """Take an event in: move the clock on, put its time into local terms, note when it came.

        Args:
            body: The event; it is changed.
            localize: Move its timestamp by the difference between the sender's time zone and ours, as Celery does.

        Returns:
            Its type and itself.
        """
        type_: str = body["type"]
        clock = self.app.clock
        if type_ == "task-sent":
            # Clients count for themselves: what they send comes before whatever a worker does about it.
            body["clock"] = clock.value + CLIENT_CLOCK_SKEW
        else:
            stamp = body.get("clock")
            if isinstance(stamp, int):
                clock.adjust(stamp)
            else:
                body["clock"] = clock.forward()
        if localize:
            offset, timestamp = body.get("utcoffset"), body.get("timestamp")
            if isinstance(offset, int | float) and isinstance(timestamp, int | float):
                body["timestamp"] = timestamp - (offset - utc_offset()) * 3600
        body["local_received"] = time.time()
        return type_, body
