"""`Consumer`: hands the messages of queues to callbacks.  Fetching them is the connection's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.broker.shapes import as_queue
from celeriac.broker.topology import Queue
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SerializationError
from celeriac.messaging.message import Message
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.message import Delivery
    from celeriac.messaging.channel import Channel

__all__ = ["Consumer"]

logger = logging.getLogger("celeriac.messaging")

#: Characters of a reason in the dead-letter store.
_MAX_REASON = 500


class Consumer:
    """Gets messages from queues.

    Args:
        channel: A channel, or a connection, which gives one.
        queues: A queue or several.
        no_ack: Messages are acknowledged when they are delivered.
        auto_declare: Declare the queues; always so, unless they say ``no_declare``.
        callbacks: Called with the decoded body and the message.
        on_decode_error: Called with the message and the exception when the body cannot be decoded.
        on_message: Called with the message instead of ``callbacks``; nothing is decoded.
        accept: Names or content types that may be decoded; None is JSON, and plain text and data.
        prefetch_count: Messages that may be unsettled at once; None is 100 for the connection.
        tag_prefix: Accepted for the signature's sake: tags are made by the session.

    A message whose callback raises, or that cannot be decoded where nobody looks after that, is set aside in the
    dead-letter store with the reason, unless it was settled before.
    """

    def __init__(
        self,
        channel: Any,
        queues: Queue | Iterable[Queue] | None = None,
        no_ack: bool | None = None,
        auto_declare: bool | None = None,
        callbacks: Iterable[Callable[[Any, Message], Any]] | None = None,
        on_decode_error: Callable[[Message, Exception], Any] | None = None,
        on_message: Callable[[Message], Any] | None = None,
        accept: Iterable[str] | None = None,
        prefetch_count: int | None = None,
        tag_prefix: str | None = None,
    ) -> None:
        if auto_declare is False:
            raise ImproperlyConfigured("Consumer(auto_declare=False): give the queues no_declare=True instead")
        self.channel: Channel = channel.channel() if hasattr(channel, "channel") else channel
        self.queues: list[Queue] = [_named(queue) for queue in _listed(queues)]
        self.no_ack = bool(no_ack)
        self.callbacks = list(callbacks or ())
        self.on_decode_error = on_decode_error
        self.on_message = on_message
        self.accept = None if accept is None else registry.accept_set(accept)
        self.prefetch_count = prefetch_count or 0
        self.channel.consumers.append(self)

    # -- life ---------------------------------------------------------------------------------------------------

    def consume(self, no_ack: bool | None = None) -> None:
        """Get messages from now on.

        Args:
            no_ack: Replaces what the constructor got.

        Raises:
            OperationalError: The broker refuses, or cannot be reached.
        """
        if no_ack is not None:
            self.no_ack = no_ack
        if not self.queues:
            raise ImproperlyConfigured("Consumer(queues=...) is empty: there is nothing to consume")
        self.channel.consuming.add(self, self.queues)

    def cancel(self) -> None:
        """Get no more messages; those that were delivered can still be settled."""
        self.channel.consuming.remove(self)

    close = cancel

    def cancel_by_queue(self, queue: Queue | str) -> None:
        """Get no more messages of one queue."""
        name = str(queue)
        self.channel.consuming.remove(self, [name])
        self.queues = [each for each in self.queues if each.name != name]

    def add_queue(self, queue: Queue) -> Queue:
        """Add a queue; `consume` has to be called (again)."""
        self.queues.append(_named(queue))
        return queue

    def consuming_from(self, queue: Queue | str) -> bool:
        """It gets the messages of a queue."""
        return self.channel.consuming.consumes(self, str(queue))

    def register_callback(self, callback: Callable[[Any, Message], Any]) -> None:
        """Call one more function with each message."""
        self.callbacks.append(callback)

    def declare(self) -> None:
        """Declare the queues."""
        self.channel.session.declare(self.queues)

    def purge(self) -> int:
        """Delete what waits in the queues; returns how many messages."""
        return sum(self.channel.session.purge(queue.name) for queue in self.queues)

    def qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set how many messages may be unsettled at once; sizes cannot be limited."""
        if prefetch_size:
            raise ImproperlyConfigured(f"Consumer.qos(prefetch_size={prefetch_size}): only numbers can be limited")
        self.prefetch_count = prefetch_count

    # -- messages -----------------------------------------------------------------------------------------------

    def receive(self, body: Any, message: Message) -> None:
        """Call the callbacks."""
        if not self.callbacks:
            raise NotImplementedError("the consumer has no callbacks: give it callbacks=[...] or on_message")
        for callback in self.callbacks:
            callback(body, message)

    def take(self, delivery: Delivery) -> None:
        """Hand a delivery to the callbacks. Called by the connection."""
        consuming = self.channel.consuming
        if delivery.malformed is not None:
            consuming.set_aside(delivery, f"malformed: {delivery.malformed}"[:_MAX_REASON])
            return
        if self.no_ack:
            consuming.ack([delivery])
        message = Message(delivery, self.channel, self.accept, no_ack=self.no_ack)
        try:
            self._hand_over(message)
        except OperationalError:
            raise
        except Exception as exc:
            logger.exception("A callback for messages of %s raised %r", delivery.queue, exc)
            if not message.acknowledged:
                consuming.set_aside(delivery, f"a callback raised {type(exc).__name__}: {exc}"[:_MAX_REASON])

    def _hand_over(self, message: Message) -> None:
        if self.on_message is not None:
            self.on_message(message)
            return
        try:
            body = message.payload
        except SerializationError as exc:
            if self.on_decode_error is None:
                raise
            self.on_decode_error(message, exc)
        else:
            self.receive(body, message)

    def __enter__(self) -> Consumer:
        self.consume()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.cancel()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(queue.name for queue in self.queues)}>"


def _listed(queues: Any) -> list[Queue]:
    if queues is None:
        return []
    found = as_queue(queues)
    return [found] if isinstance(found, Queue) else [as_queue(queue) for queue in queues]


def _named(queue: Queue) -> Queue:
    if not queue.name:
        raise ImproperlyConfigured(f"a consumer needs queues with names, got {queue!r}")
    return queue
