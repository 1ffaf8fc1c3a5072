"""The queue ``celeriac.dead`` of messages that were set aside: its entries, and reading them.

Publishing them is the session's business.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.broker.amqp.envelope import PERSISTENT, copy_headers, copy_properties
from celeriac.drivers.amqp import ChannelClosed, Declarations
from celeriac.message import DeadLetter, Message
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from celeriac.drivers.amqp import Channel, OutgoingMessage
    from celeriac.drivers.amqp import Delivery as RawDelivery
    from celeriac.drivers.amqp.link import Link
    from celeriac.message import Delivery

DEAD_QUEUE = "celeriac.dead"

_ACCESS_REFUSED = 403
#: Seconds between attempts to read while somebody else does.
_PAUSE = 0.02

_ID, _REASON, _QUEUE, _DEAD_AT = "x-celeriac-id", "x-celeriac-reason", "x-celeriac-queue", "x-celeriac-dead-at"
_DELIVERIES, _EXCHANGE, _ROUTING_KEY = (
    "x-celeriac-deliveries",
    "x-celeriac-exchange",
    "x-celeriac-routing-key",
)
_OURS = (_ID, _REASON, _QUEUE, _DEAD_AT, _DELIVERIES, _EXCHANGE, _ROUTING_KEY)


def declaration() -> Declarations:
    """The queue of dead letters: durable, classic."""
    declarations = Declarations()
    declarations.queue(DEAD_QUEUE)
    return declarations


def entry(delivery: Delivery, reason: str) -> OutgoingMessage:
    """The message that keeps a delivery and why it was set aside; it never expires."""
    headers = copy_headers(delivery, delivery.deliveries)
    headers |= {
        _ID: uuid4(),
        _REASON: reason,
        _QUEUE: delivery.queue,
        _DEAD_AT: time.time(),
        _DELIVERIES: delivery.deliveries,
    }
    properties = copy_properties(delivery.message, keep_expiration=False)
    properties["delivery_mode"] = PERSISTENT
    return ("", DEAD_QUEUE, delivery.message.body, properties, headers, True)


def read_entry(raw: RawDelivery) -> DeadLetter:
    """A dead letter from its message; one that another program put there has what it has."""
    headers, properties = dict(raw.headers), dict(raw.properties)
    about: dict[str, Any] = {name: headers.pop(name, None) for name in _OURS}
    queue = str(about[_QUEUE] or "")
    message = Message(
        raw.body,
        properties.pop("content_type", "application/data"),
        properties.pop("content_encoding", "binary"),
        headers,
        properties,
    )
    dead_at = about[_DEAD_AT]
    details = {
        "deliveries": about[_DELIVERIES],
        "exchange": about[_EXCHANGE] or "",
        "routing_key": queue if about[_ROUTING_KEY] is None else about[_ROUTING_KEY],
    }
    return DeadLetter(
        str(about[_ID] or raw.delivery_tag),
        queue,
        str(about[_REASON] or ""),
        message,
        float(dead_at) if isinstance(dead_at, int | float) else 0.0,
        details,
    )


def read_newest(link: Link, limit: int, deadline: float) -> list[DeadLetter]:
    """The newest entries, newest first."""
    channel = _start_reading(link, deadline)
    newest = deque((read_entry(raw) for raw in _read(link, channel, deadline)), maxlen=limit)
    channel.close(deadline)
    return list(newest)[::-1]


def remove(link: Link, ids: Collection[str], deadline: float) -> int:
    """Delete entries; returns how many there were."""
    channel = _start_reading(link, deadline)
    found = [raw.delivery_tag for raw in _read(link, channel, deadline) if read_entry(raw).id in ids]
    channel.ack_many(found, deadline=deadline)
    channel.close(deadline)
    return len(found)


def _read(link: Link, channel: Channel, deadline: float) -> Iterator[RawDelivery]:
    """All entries, oldest first.

    What is not acknowledged goes back by itself when the channel closes: a queue cannot be read from its end.  The
    consumer is exclusive, because a second reader at the same time would see a part of them only.
    """
    # What the server had sent by the first answer has come by the second, which tells how many are still to come.
    for _ in range(2):
        waiting = channel.queue_declare(DEAD_QUEUE, passive=True, deadline=deadline).messages
    total = waiting + len(channel.deliveries)
    read = 0
    while True:
        while channel.deliveries:
            read += 1
            yield channel.deliveries.popleft()
        left = deadline - time.monotonic()
        if read >= total or left <= 0:
            break
        link.drain(left)


def _start_reading(link: Link, deadline: float) -> Channel:
    while True:
        channel = link.connection.channel(deadline)
        try:
            channel.basic_consume(DEAD_QUEUE, exclusive=True, deadline=deadline)
        except ChannelClosed as error:
            if error.reply_code != _ACCESS_REFUSED or time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return channel
