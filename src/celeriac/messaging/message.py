"""`Message`: a delivery as callbacks of consumers know it.  Settling is the session's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import CeleryError
from celeriac.serialization.compression import decompress
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Collection

    from celeriac.message import Delivery
    from celeriac.messaging.channel import Channel

__all__ = ["Message", "MessageStateError"]

_UNREAD: Final[Any] = object()


class MessageStateError(CeleryError):
    """The message was settled before."""


class Message:
    """A message that was delivered to a consumer.

    Args:
        delivery: What the broker handed over.
        channel: The channel it came by.
        accept: Content types that may be decoded.
        no_ack: It was acknowledged when it was delivered.

    Attributes:
        body: As it came.
        headers, properties, content_type, content_encoding: Of the message.
        delivery_tag: The broker's token for it.
        delivery_info: ``exchange``, ``routing_key``, ``redelivered``, ``priority`` and ``queue``.
    """

    def __init__(
        self, delivery: Delivery, channel: Channel, accept: Collection[str] | None, *, no_ack: bool = False
    ) -> None:
        message = delivery.message
        self.delivery = delivery
        self.channel = channel
        self.accept = accept
        self.body = message.body
        self.headers = message.headers
        self.properties = message.properties
        self.content_type = message.content_type
        self.content_encoding = message.content_encoding
        self.delivery_tag = delivery.tag
        self.delivery_info = {
            "exchange": delivery.exchange,
            "routing_key": delivery.routing_key,
            "redelivered": delivery.redelivered,
            "priority": message.properties.get("priority"),
            "queue": delivery.queue,
        }
        self._state = "ACK" if no_ack else "RECEIVED"
        self._decoded: Any = _UNREAD

    # -- reading ------------------------------------------------------------------------------------------------

    @property
    def payload(self) -> Any:
        """The decoded body; decoded once.

        Raises:
            ContentDisallowed: Its content type is not accepted.
            DecodeError: It cannot be decoded.
        """
        if self._decoded is _UNREAD:
            self._decoded = self.decode()
        return self._decoded

    def decode(self) -> Any:
        """Decode the body.

        Raises:
            ContentDisallowed: Its content type is not accepted.
            DecodeError: It cannot be decoded.
        """
        compression = self.headers.get("compression")
        body = decompress(self.body, compression) if isinstance(compression, str) else self.body
        return registry.loads(body, self.content_type, self.content_encoding, self.accept)

    # -- settling -----------------------------------------------------------------------------------------------

    @property
    def acknowledged(self) -> bool:
        """It has been settled."""
        return self._state != "RECEIVED"

    def ack(self, multiple: bool = False) -> None:
        """Settle it for good.

        Args:
            multiple: Settle all that were delivered before it on this channel too.

        Raises:
            MessageStateError: It was settled before.
            SessionLost: The connection broke; it will be delivered again.
        """
        self._enter("ACK")
        consuming = self.channel.consuming
        consuming.ack(consuming.delivered_until(self) if multiple else [self.delivery])

    def reject(self, requeue: bool = False) -> None:
        """Discard it, or give it back.

        Args:
            requeue: Give it back: it may be delivered again, here too.

        Raises:
            MessageStateError: It was settled before.
            SessionLost: The connection broke; it will be delivered again.
        """
        if requeue:
            self.requeue()
        else:
            self._enter("REJECTED")
            self.channel.consuming.reject(self.delivery)

    def requeue(self) -> None:
        """Give it back: it may be delivered again, here too.

        Raises:
            MessageStateError: It was settled before.
            SessionLost: The connection broke; it will be delivered again.
        """
        self._enter("REQUEUED")
        self.channel.consuming.requeue(self.delivery)

    def _enter(self, state: str) -> None:
        if self.acknowledged:
            raise MessageStateError(f"the message with delivery tag {self.delivery_tag!r} was settled: {self._state}")
        self._state = state

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._state} of {self.delivery.queue!r}: {self.content_type}, "
            f"{len(self.body)} bytes>"
        )
