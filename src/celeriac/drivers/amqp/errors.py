"""Exceptions of the AMQP client; they carry what the server said, and decide nothing about retrying."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AMQPError",
    "AccessRefused",
    "ChannelClosed",
    "ConnectionLost",
    "ConnectionRefused",
    "EncodeError",
    "FrameError",
    "OperationTimeout",
    "PublishRefused",
    "Refusal",
]


class AMQPError(Exception):
    """Base of everything this client raises for the server or the network.

    Attributes:
        unconfirmed: Delivery tags of published messages whose fate is not known (confirm mode only).
        refusals: Messages known to be refused when the error was raised.
    """

    unconfirmed: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class ConnectionLost(AMQPError):
    """The connection is gone: socket failed, heartbeat missed, protocol broken or closed by the server.

    Attributes:
        reply_code: The server's code (for example 320, connection forced), 0 if it gave none.
        reply_text: The server's explanation, empty if it gave none.
    """

    def __init__(self, message: str, reply_code: int = 0, reply_text: str = "") -> None:
        super().__init__(message)
        self.reply_code = reply_code
        self.reply_text = reply_text


class ConnectionRefused(ConnectionLost):
    """No connection could be opened: name unknown, port closed, TLS handshake failed."""


class AccessRefused(AMQPError):
    """The server answered and refused the credentials, the mechanism or the virtual host.

    Attributes:
        reply_code: The server's code (403 for credentials, 530 for the virtual host), 0 if it gave none.
        reply_text: The server's explanation, empty if it gave none.
    """

    def __init__(self, message: str, reply_code: int = 0, reply_text: str = "") -> None:
        super().__init__(message)
        self.reply_code = reply_code
        self.reply_text = reply_text


class ChannelClosed(AMQPError):
    """The channel is closed; the connection and its other channels still work.

    Attributes:
        channel_id: Number of the channel.
        reply_code: The server's code, for example 404 (not found) or 406 (precondition failed); 0 when the
            channel was closed from this side.
        reply_text: The server's explanation.
        method: The method the server objects to, for example ``queue.declare``; empty if none.
    """

    def __init__(self, channel_id: int, reply_code: int, reply_text: str, method: str = "") -> None:
        cause = f" by the server, {reply_code} {reply_text}" if reply_code else f": {reply_text}"
        super().__init__(f"channel {channel_id} was closed{cause}" + (f" (in {method})" if method else ""))
        self.channel_id = channel_id
        self.reply_code = reply_code
        self.reply_text = reply_text
        self.method = method


class Refusal(NamedTuple):
    """One message the server did not take.

    ``reply_code`` is 312 (no route) for a returned mandatory message and 0 for a negative confirm.
    """

    tag: int
    exchange: str
    routing_key: str
    reply_code: int
    reply_text: str


class PublishRefused(AMQPError):
    """The server returned messages or confirmed them negatively; ``refusals`` names each of them."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        first = refusals[0]
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(
            f"message {first.tag} to exchange {first.exchange!r} with routing key {first.routing_key!r} "
            f"was refused: {first.reply_code or 'nack'} {first.reply_text}{more}"
        )
        self.refusals = tuple(refusals)


class OperationTimeout(AMQPError):
    """The deadline of a call passed before the call was done."""


class EncodeError(ValueError):
    """A value given by the caller cannot be written in AMQP 0-9-1; nothing was sent."""


class FrameError(ValueError):
    """Bytes received are not valid AMQP 0-9-1."""
