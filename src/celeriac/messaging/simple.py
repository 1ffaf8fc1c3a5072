"""`SimpleQueue`: a queue of messages with the methods of `queue.Queue`."""

from __future__ import annotations

import queue as standard
import time
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.broker.shapes import as_queue
from celeriac.broker.topology import Exchange, Queue
from celeriac.messaging.consumer import Consumer
from celeriac.messaging.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.messaging.message import Message

__all__ = ["SimpleBuffer", "SimpleQueue"]


class SimpleQueue:
    """One queue, to put messages in and get them out.

    Args:
        channel: A channel, or a connection.
        name: A queue, or the name of one, which is bound to an exchange of its name.
        no_ack: Messages are acknowledged when they are delivered; otherwise they have ``ack()``.
        queue_opts: Attributes of the queue.
        queue_args: Its AMQP arguments.
        exchange_opts: Attributes of the exchange.
        serializer: See `Producer`.
        compression: Ditto.
        accept: See `Consumer`.
    """

    Empty = standard.Empty
    no_ack = False
    _queue_options: ClassVar[dict[str, Any]] = {}
    _exchange_options: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        channel: Any,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        accept: Iterable[str] | None = None,
    ) -> None:
        given = as_queue(name)
        if not isinstance(given, Queue):
            exchange = Exchange(name, **{**self._exchange_options, **(exchange_opts or {})})
            options = {**self._queue_options, **(queue_opts or {})}
            given = Queue(name, exchange, name, queue_arguments=queue_args, **options)
        self.queue: Queue = given
        self.channel = channel.channel() if hasattr(channel, "channel") else channel
        self.connection = self.channel.connection
        exchange = given.exchange or Exchange("")
        self.producer = Producer(self.channel, exchange, given.routing_key or given.name, serializer, None, compression)
        self.buffer: deque[Message] = deque()
        self.consumer = Consumer(
            self.channel, given, self.no_ack if no_ack is None else no_ack, on_message=self.buffer.append, accept=accept
        )
        self._consuming = False

    def get(self, block: bool = True, timeout: float | None = None) -> Message:
        """The next message.

        Args:
            block: Wait for it.
            timeout: Seconds to wait; None is as long as it takes.

        Raises:
            queue.Empty: There is none.
        """
        self._consume()
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.buffer:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                self.connection.drain_events(timeout=left if block else 0.0)
            except TimeoutError:
                raise self.Empty from None
        return self.buffer.popleft()

    def get_nowait(self) -> Message:
        """The next message, if it is there.

        Raises:
            queue.Empty: There is none.
        """
        return self.get(block=False)

    def put(
        self,
        message: Any,
        serializer: str | None = None,
        headers: dict[str, Any] | None = None,
        compression: str | None = None,
        routing_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Publish a message.

        Args:
            message: Its body.
            serializer: See `Producer.publish`.
            headers: Ditto.
            compression: Ditto.
            routing_key: Ditto.
            **kwargs: Further arguments of it.
        """
        kwargs.setdefault("declare", [self.queue])
        self.producer.publish(
            message, routing_key, serializer=serializer, headers=headers, compression=compression, **kwargs
        )

    def clear(self) -> int:
        """Delete what waits; returns how many messages."""
        return self.consumer.purge()

    def qsize(self) -> int:
        """How many messages wait, without those that were delivered already."""
        self.consumer.declare()
        depths: dict[str, int] = self.connection.session.depths([self.queue.name])
        return depths[self.queue.name]

    def close(self) -> None:
        """Get no more; what was delivered and not asked for goes back."""
        for message in self.buffer:
            if not message.acknowledged:
                message.requeue()
        self.buffer.clear()
        self.consumer.cancel()

    def _consume(self) -> None:
        if not self._consuming:
            self.consumer.consume()
            self._consuming = True

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> SimpleQueue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class SimpleBuffer(SimpleQueue):
    """A `SimpleQueue` that keeps nothing: its queue goes with its consumer, and messages are not acknowledged."""

    no_ack = True
    _queue_options: ClassVar[dict[str, Any]] = {"durable": False, "auto_delete": True}
    _exchange_options: ClassVar[dict[str, Any]] = {"durable": False, "auto_delete": True, "delivery_mode": 1}
