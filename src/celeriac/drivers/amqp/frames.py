"""Turns the byte stream from the server into methods and whole messages; does no I/O."""

from __future__ import annotations

from struct import Struct
from typing import Any, NamedTuple

from celeriac.drivers.amqp.codec import DECODE_FAILURES, read_shortstr
from celeriac.drivers.amqp.errors import FrameError
from celeriac.drivers.amqp.layouts import Layouts
from celeriac.drivers.amqp.methods import (
    BASIC_ACK,
    BASIC_DELIVER,
    BASIC_GET_OK,
    BASIC_RETURN,
    FRAME_BODY,
    FRAME_END,
    FRAME_HEADER,
    FRAME_HEARTBEAT,
    FRAME_METHOD,
    FRAME_OVERHEAD,
    decode_arguments,
    method_name,
)

_frame_start = Struct(">BHI").unpack_from
_read_u32 = Struct(">I").unpack_from
_read_tag = Struct(">QB").unpack_from
_content_start = Struct(">HHQ").unpack_from
_NAMES_KEPT = 1024


class Method(NamedTuple):
    """A method frame from the server; ``args`` in the order of the specification."""

    channel: int
    method: int
    args: tuple[Any, ...]


class Delivery:
    """A message from the server: consumed (basic.deliver), fetched (basic.get-ok) or returned (basic.return).

    Attributes:
        channel: Number of the channel it came on.
        method: ``BASIC_DELIVER``, ``BASIC_GET_OK`` or ``BASIC_RETURN``.
        consumer_tag: The consumer it is for; empty unless delivered.
        delivery_tag: What to settle it by on its channel; 0 for a returned message.
        redelivered: The server has delivered it before.
        exchange: Exchange it was published to.
        routing_key: Routing key it was published with.
        properties: Basic properties that were present, without the header table.
        headers: The header table, empty if there was none.
        body: The bytes of the message.
        reply: Reply code and text of a returned message, else ``None``.
    """

    __slots__ = (
        "body",
        "channel",
        "consumer_tag",
        "delivery_tag",
        "exchange",
        "headers",
        "method",
        "properties",
        "redelivered",
        "reply",
        "routing_key",
    )

    channel: int
    method: int
    consumer_tag: str
    delivery_tag: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: dict[str, Any]
    headers: dict[str, Any]
    body: bytes
    reply: tuple[int, str] | None

    def __repr__(self) -> str:
        return (
            f"<Delivery {method_name(self.method)} tag={self.delivery_tag} exchange={self.exchange!r} "
            f"routing_key={self.routing_key!r} {len(self.body)} bytes>"
        )


class _Content:
    """A message whose frames are still arriving; ``left`` is -1 until its header has come."""

    __slots__ = ("delivery", "left", "pieces")

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.left = -1
        self.pieces: list[bytes] = []


Event = Method | Delivery
_new_delivery = Delivery.__new__


class FrameParser:
    """Incremental parser: feed it whatever was received, get whole methods and messages back, in order.

    Args:
        frame_max: Largest frame accepted in bytes, overhead included; set ``frame_max`` anew once it is
            negotiated.
    """

    def __init__(self, frame_max: int = 131072) -> None:
        self.frame_max = frame_max
        self._rest: list[bytes] = []
        self._have = 0
        self._need = FRAME_OVERHEAD
        self._contents: dict[int, _Content] = {}
        self._layouts = Layouts()
        self._consumer_tags: dict[bytes, str] = {}
        self._places: dict[bytes, tuple[str, str]] = {}

    def feed(self, data: bytes) -> list[Event]:
        """Parse what was received; an incomplete frame at the end waits for the next call.

        Raises:
            FrameError: The stream is not AMQP 0-9-1 or a frame is larger than ``frame_max``; it cannot be
                continued.
        """
        if self._have:
            self._rest.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            data = b"".join(self._rest)
            self._rest.clear()
        events: list[Event] = []
        try:
            pos = self._parse(data, events)
        except DECODE_FAILURES as exc:
            raise FrameError(f"malformed frame: {exc}") from exc
        self._have = len(data) - pos
        if self._have:
            self._rest.append(data[pos:])
        return events

    # One loop on purpose: a call per frame would add a third to the cost of a message.
    def _parse(self, data: bytes, events: list[Event]) -> int:  # noqa: C901, PLR0915
        """Parse whole frames; returns where the first incomplete one starts and notes how much it needs."""
        contents, decode = self._contents, self._layouts.decode
        limit = len(data)
        pos = 0
        while limit - pos >= FRAME_OVERHEAD:
            kind, channel, size = _frame_start(data, pos)
            payload = pos + 7
            end = payload + size
            if end >= limit:
                self._check_size(kind, size)
                self._need = size + FRAME_OVERHEAD
                return pos
            if data[end] != FRAME_END:
                raise FrameError(
                    f"frame of type {kind} and {size} bytes does not end in 0xCE: not an AMQP 0-9-1 stream?"
                )
            pos = end + 1
            if kind == FRAME_METHOD:
                (method,) = _read_u32(data, payload)
                if method == BASIC_DELIVER:
                    if channel in contents:
                        raise FrameError(f"basic.deliver on channel {channel} inside another message")
                    contents[channel] = _Content(self._read_deliver(channel, data, payload + 4, end))
                else:
                    self._other_method(channel, method, data[payload:end], events)
            elif kind == FRAME_HEADER:
                content = contents.get(channel)
                if content is None or content.left >= 0:
                    raise FrameError(f"content header on channel {channel} without a method before it")
                _class, _weight, left = _content_start(data, payload)
                delivery = content.delivery
                delivery.properties, delivery.headers = decode(data[payload + 12 : end])
                content.left = left
                if not left:
                    delivery.body = b""
                    del contents[channel]
                    events.append(delivery)
            elif kind == FRAME_BODY:
                content = contents.get(channel)
                if content is None or size > content.left:
                    raise FrameError(f"body frame of {size} bytes on channel {channel} that nothing announced")
                if size == content.left:
                    delivery = content.delivery
                    body = data[payload:end]
                    if content.pieces:
                        content.pieces.append(body)
                        body = b"".join(content.pieces)
                    delivery.body = body
                    del contents[channel]
                    events.append(delivery)
                else:
                    content.left -= size
                    content.pieces.append(data[payload:end])
            elif kind != FRAME_HEARTBEAT:
                raise FrameError(f"unknown frame type {kind}: not an AMQP 0-9-1 stream?")
        self._need = FRAME_OVERHEAD
        return pos

    def _check_size(self, kind: int, size: int) -> None:
        if kind not in (FRAME_METHOD, FRAME_HEADER, FRAME_BODY, FRAME_HEARTBEAT):
            raise FrameError(f"unknown frame type {kind}: not an AMQP 0-9-1 stream?")
        if size + FRAME_OVERHEAD > self.frame_max:
            raise FrameError(f"frame of {size + FRAME_OVERHEAD} bytes is larger than the limit of {self.frame_max}")

    def _read_deliver(self, channel: int, data: bytes, pos: int, end: int) -> Delivery:
        middle = pos + 1 + data[pos]
        consumer = data[pos:middle]
        place = data[middle + 9 : end]
        delivery = _new_delivery(Delivery)
        delivery.channel = channel
        delivery.method = BASIC_DELIVER
        delivery.delivery_tag, redelivered = _read_tag(data, middle)
        delivery.redelivered = redelivered != 0
        delivery.reply = None
        # Consumer and destination repeat from message to message: look them up by their bytes.
        consumer_tag = self._consumer_tags.get(consumer)
        delivery.consumer_tag = self._keep_consumer(consumer) if consumer_tag is None else consumer_tag
        names = self._places.get(place)
        delivery.exchange, delivery.routing_key = self._keep_place(place) if names is None else names
        return delivery

    def _keep_consumer(self, data: bytes) -> str:
        if len(self._consumer_tags) >= _NAMES_KEPT:
            self._consumer_tags.clear()
        name, _end = read_shortstr(data, 0)
        self._consumer_tags[data] = name
        return name

    def _keep_place(self, data: bytes) -> tuple[str, str]:
        if len(self._places) >= _NAMES_KEPT:
            self._places.clear()
        exchange, pos = read_shortstr(data, 0)
        routing_key, end = read_shortstr(data, pos)
        if end != len(data):
            raise FrameError(f"basic.deliver has {len(data) - end} bytes behind its arguments")
        self._places[data] = (exchange, routing_key)
        return exchange, routing_key

    def _other_method(self, channel: int, method: int, payload: bytes, events: list[Event]) -> None:
        if channel in self._contents:
            raise FrameError(f"{method_name(method)} on channel {channel} inside a message")
        if method == BASIC_ACK and len(payload) == 13:
            tag, multiple = _read_tag(payload, 4)
            events.append(Method(channel, method, (tag, multiple != 0)))
            return
        args = decode_arguments(method, payload)
        if method not in (BASIC_GET_OK, BASIC_RETURN):
            events.append(Method(channel, method, args))
            return
        delivery = _new_delivery(Delivery)
        delivery.channel, delivery.method, delivery.consumer_tag = channel, method, ""
        if method == BASIC_GET_OK:
            delivery.delivery_tag, delivery.redelivered, delivery.exchange, delivery.routing_key, _left = args
            delivery.reply = None
        else:
            code, text, delivery.exchange, delivery.routing_key = args
            delivery.delivery_tag, delivery.redelivered, delivery.reply = 0, False, (code, text)
        self._contents[channel] = _Content(delivery)
