"""Names of ``kombu.common``."""

from __future__ import annotations

from typing import Any

from celeriac.messaging.producer import Producer

__all__ = ["maybe_declare"]


def maybe_declare(entity: Any, channel: Any = None, retry: bool = False, **retry_policy: Any) -> bool:
    """Declare a queue or an exchange.

    Args:
        entity: The queue or exchange.
        channel: A channel, or a connection.
        retry: Accepted for the signature's sake: a connection that breaks is an error.
        **retry_policy: Ditto.

    Raises:
        ValueError: There is no channel.
    """
    if channel is None:
        raise ValueError("maybe_declare() needs a channel or a connection: maybe_declare(queue, connection)")
    return Producer(channel).maybe_declare(entity)
