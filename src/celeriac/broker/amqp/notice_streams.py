"""Notices on RabbitMQ: one stream for each topic, which everybody reads from its beginning.

A stream is read without taking anything out of it.  Its age and size are bounded in whole segments, so every entry
also says until when it counts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.amqp.envelope import PERSISTENT
from celeriac.broker.base import MAX_NOTICES
from celeriac.drivers.amqp import ChannelClosed, Declarations, OperationTimeout
from celeriac.exceptions import OperationalError
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.drivers.amqp import Channel, OutgoingMessage
    from celeriac.drivers.amqp.link import Link

_UNTIL, _MARK = "x-celeriac-until", "x-celeriac-mark"
_NOT_FOUND = 404
#: Bytes: the newest of those of `MAX_NOTICES` texts, and how much of a stream is dropped at once.
_MAX_BYTES, _SEGMENT = 20_000_000, 1_000_000
#: Entries that the server sends ahead of their acknowledgement, which streams demand.
_AHEAD = 1000
#: Entries published in one write.
_PAGE = 1000


def stream_name(topic: str) -> str:
    """The stream of a topic."""
    return f"celeriac.notices.{topic}"


def append(link: Link, topic: str, notices: Sequence[str], seconds: float, deadline: float) -> None:
    """Add texts, each with the time until which it counts."""
    if not notices:
        return
    name = stream_name(topic)
    declarations = Declarations()
    arguments = {
        "x-queue-type": "stream", "x-max-length-bytes": _MAX_BYTES, "x-stream-max-segment-size-bytes": _SEGMENT,
    }  # fmt: skip
    declarations.queue(name, arguments=arguments)
    link.declare(declarations, deadline)
    until = time.time() + seconds
    _publish(link, [_entry(name, text.encode(), {_UNTIL: until}) for text in notices], deadline)


def read(link: Link, topic: str, deadline: float) -> list[str]:
    """The texts that count; none where there is no stream.

    A mark is put at its end first, and reading ends there: a stream does not tell how much is in it.
    """
    name, mark = stream_name(topic), uuid4()
    try:
        link.control(deadline).queue_declare(name, passive=True, deadline=deadline)
    except ChannelClosed as error:
        if error.reply_code == _NOT_FOUND:
            return []
        raise
    _publish(link, [_entry(name, b"", {_MARK: mark})], deadline)
    channel = link.connection.channel(deadline)
    channel.basic_qos(_AHEAD)
    channel.basic_consume(name, "notices", arguments={"x-stream-offset": "first"}, deadline=deadline)
    found = _read_to(channel, link, mark, deadline)
    channel.close(deadline)
    now = time.time()
    return [text for text, until in found[-MAX_NOTICES:] if until > now]


def _read_to(channel: Channel, link: Link, mark: str, deadline: float) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    while True:
        tags = []
        while channel.deliveries:
            raw = channel.deliveries.popleft()
            tags.append(raw.delivery_tag)
            if raw.headers.get(_MARK) == mark:
                return found
            until = raw.headers.get(_UNTIL)
            if isinstance(until, int | float):
                found.append((raw.body.decode("utf-8", "replace"), float(until)))
        if tags:
            channel.ack_many(tags)
        left = deadline - time.monotonic()
        if left <= 0:
            raise OperationTimeout("reading a stream of notices did not end in time")
        link.drain(left)


def _entry(name: str, body: bytes, headers: dict[str, Any]) -> OutgoingMessage:
    return ("", name, body, {"delivery_mode": PERSISTENT}, headers, True)


def _publish(link: Link, entries: list[OutgoingMessage], deadline: float) -> None:
    pages = (entries[start : start + _PAGE] for start in range(0, len(entries), _PAGE))
    refused = link.publish(pages, deadline, confirm=True)
    if refused:
        raise OperationalError(f"RabbitMQ did not keep a notice: {refused[0][1].reply_text}")
