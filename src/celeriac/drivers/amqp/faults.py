"""Errors of the AMQP client as Celeriac's own; raises none by itself."""

from __future__ import annotations

from celeriac.drivers.amqp.errors import (
    AccessRefused,
    AMQPError,
    ChannelClosed,
    ConnectionLost,
    ConnectionRefused,
    PublishRefused,
)
from celeriac.exceptions import OperationalError, SessionLost, SessionRefused

_ACCESS_REFUSED = 403


def as_operational(error: AMQPError) -> OperationalError:
    """The error to raise for one of the AMQP client, which belongs into its ``__cause__``.

    A refused login or permission is a `SessionRefused`; a lost connection, a closed channel and an answer that did
    not come in time (which costs the connection) are a `SessionLost`; the rest is an `OperationalError`.
    """
    if isinstance(error, AccessRefused):
        return SessionRefused(str(error))
    if isinstance(error, ChannelClosed) and error.reply_code == _ACCESS_REFUSED:
        return SessionRefused(str(error))
    if isinstance(error, ConnectionRefused | PublishRefused):
        return OperationalError(str(error))
    return SessionLost(str(error))


def as_connect_failure(error: AMQPError, address: str) -> OperationalError:
    """The error to raise when a connection could not be opened."""
    if isinstance(error, AccessRefused):
        return SessionRefused(str(error))
    text = str(error)
    if not isinstance(error, ConnectionLost):
        text = f"the AMQP server at {address} cannot be reached: {text}"
    return OperationalError(text)
