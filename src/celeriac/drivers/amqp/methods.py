"""The AMQP 0-9-1 methods a task queue needs, to frames and from payloads; does not parse streams."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.drivers.amqp.codec import (
    DECODE_FAILURES,
    decode_table,
    encode_table,
    read_shortstr,
    shortstr,
)
from celeriac.drivers.amqp.errors import EncodeError, FrameError
from celeriac.drivers.amqp.properties import encode_properties

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAME_METHOD: Final = 1
FRAME_HEADER: Final = 2
FRAME_BODY: Final = 3
FRAME_HEARTBEAT: Final = 8
FRAME_END: Final = 0xCE
#: Octets of a frame that are not payload.
FRAME_OVERHEAD: Final = 8
PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"


def _id(class_id: int, method_id: int) -> int:
    return class_id << 16 | method_id


CONNECTION_START: Final = _id(10, 10)
CONNECTION_START_OK: Final = _id(10, 11)
CONNECTION_SECURE: Final = _id(10, 20)
CONNECTION_TUNE: Final = _id(10, 30)
CONNECTION_TUNE_OK: Final = _id(10, 31)
CONNECTION_OPEN: Final = _id(10, 40)
CONNECTION_OPEN_OK: Final = _id(10, 41)
CONNECTION_CLOSE: Final = _id(10, 50)
CONNECTION_CLOSE_OK: Final = _id(10, 51)
CONNECTION_BLOCKED: Final = _id(10, 60)
CONNECTION_UNBLOCKED: Final = _id(10, 61)
CHANNEL_OPEN: Final = _id(20, 10)
CHANNEL_OPEN_OK: Final = _id(20, 11)
CHANNEL_FLOW: Final = _id(20, 20)
CHANNEL_FLOW_OK: Final = _id(20, 21)
CHANNEL_CLOSE: Final = _id(20, 40)
CHANNEL_CLOSE_OK: Final = _id(20, 41)
EXCHANGE_DECLARE: Final = _id(40, 10)
EXCHANGE_DECLARE_OK: Final = _id(40, 11)
EXCHANGE_DELETE: Final = _id(40, 20)
EXCHANGE_DELETE_OK: Final = _id(40, 21)
EXCHANGE_BIND: Final = _id(40, 30)
EXCHANGE_BIND_OK: Final = _id(40, 31)
QUEUE_DECLARE: Final = _id(50, 10)
QUEUE_DECLARE_OK: Final = _id(50, 11)
QUEUE_BIND: Final = _id(50, 20)
QUEUE_BIND_OK: Final = _id(50, 21)
QUEUE_PURGE: Final = _id(50, 30)
QUEUE_PURGE_OK: Final = _id(50, 31)
QUEUE_DELETE: Final = _id(50, 40)
QUEUE_DELETE_OK: Final = _id(50, 41)
BASIC_QOS: Final = _id(60, 10)
BASIC_QOS_OK: Final = _id(60, 11)
BASIC_CONSUME: Final = _id(60, 20)
BASIC_CONSUME_OK: Final = _id(60, 21)
BASIC_CANCEL: Final = _id(60, 30)
BASIC_CANCEL_OK: Final = _id(60, 31)
BASIC_PUBLISH: Final = _id(60, 40)
BASIC_RETURN: Final = _id(60, 50)
BASIC_DELIVER: Final = _id(60, 60)
BASIC_GET: Final = _id(60, 70)
BASIC_GET_OK: Final = _id(60, 71)
BASIC_GET_EMPTY: Final = _id(60, 72)
BASIC_ACK: Final = _id(60, 80)
BASIC_NACK: Final = _id(60, 120)
CONFIRM_SELECT: Final = _id(85, 10)
CONFIRM_SELECT_OK: Final = _id(85, 11)
TX_SELECT: Final = _id(90, 10)
TX_SELECT_OK: Final = _id(90, 11)
TX_COMMIT: Final = _id(90, 20)
TX_COMMIT_OK: Final = _id(90, 21)


class MethodSpec(NamedTuple):
    """Name and field types of a method.

    Field codes: B octet, H short, I long, Q long long, s short string, S long string (bytes), T table, b bit.
    """

    name: str
    fields: str


METHODS: Final[dict[int, MethodSpec]] = {
    CONNECTION_START: MethodSpec("connection.start", "BBTSS"),
    CONNECTION_START_OK: MethodSpec("connection.start-ok", "TsSs"),
    CONNECTION_SECURE: MethodSpec("connection.secure", "S"),
    CONNECTION_TUNE: MethodSpec("connection.tune", "HIH"),
    CONNECTION_TUNE_OK: MethodSpec("connection.tune-ok", "HIH"),
    CONNECTION_OPEN: MethodSpec("connection.open", "ssb"),
    CONNECTION_OPEN_OK: MethodSpec("connection.open-ok", "s"),
    CONNECTION_CLOSE: MethodSpec("connection.close", "HsHH"),
    CONNECTION_CLOSE_OK: MethodSpec("connection.close-ok", ""),
    CONNECTION_BLOCKED: MethodSpec("connection.blocked", "s"),
    CONNECTION_UNBLOCKED: MethodSpec("connection.unblocked", ""),
    CHANNEL_OPEN: MethodSpec("channel.open", "s"),
    CHANNEL_OPEN_OK: MethodSpec("channel.open-ok", "S"),
    CHANNEL_FLOW: MethodSpec("channel.flow", "b"),
    CHANNEL_FLOW_OK: MethodSpec("channel.flow-ok", "b"),
    CHANNEL_CLOSE: MethodSpec("channel.close", "HsHH"),
    CHANNEL_CLOSE_OK: MethodSpec("channel.close-ok", ""),
    EXCHANGE_DECLARE: MethodSpec("exchange.declare", "HssbbbbbT"),
    EXCHANGE_DECLARE_OK: MethodSpec("exchange.declare-ok", ""),
    EXCHANGE_DELETE: MethodSpec("exchange.delete", "Hsbb"),
    EXCHANGE_DELETE_OK: MethodSpec("exchange.delete-ok", ""),
    EXCHANGE_BIND: MethodSpec("exchange.bind", "HsssbT"),
    EXCHANGE_BIND_OK: MethodSpec("exchange.bind-ok", ""),
    QUEUE_DECLARE: MethodSpec("queue.declare", "HsbbbbbT"),
    QUEUE_DECLARE_OK: MethodSpec("queue.declare-ok", "sII"),
    QUEUE_BIND: MethodSpec("queue.bind", "HsssbT"),
    QUEUE_BIND_OK: MethodSpec("queue.bind-ok", ""),
    QUEUE_PURGE: MethodSpec("queue.purge", "Hsb"),
    QUEUE_PURGE_OK: MethodSpec("queue.purge-ok", "I"),
    QUEUE_DELETE: MethodSpec("queue.delete", "Hsbbb"),
    QUEUE_DELETE_OK: MethodSpec("queue.delete-ok", "I"),
    BASIC_QOS: MethodSpec("basic.qos", "IHb"),
    BASIC_QOS_OK: MethodSpec("basic.qos-ok", ""),
    BASIC_CONSUME: MethodSpec("basic.consume", "HssbbbbT"),
    BASIC_CONSUME_OK: MethodSpec("basic.consume-ok", "s"),
    BASIC_CANCEL: MethodSpec("basic.cancel", "sb"),
    BASIC_CANCEL_OK: MethodSpec("basic.cancel-ok", "s"),
    BASIC_PUBLISH: MethodSpec("basic.publish", "Hssbb"),
    BASIC_RETURN: MethodSpec("basic.return", "Hsss"),
    BASIC_DELIVER: MethodSpec("basic.deliver", "sQbss"),
    BASIC_GET: MethodSpec("basic.get", "Hsb"),
    BASIC_GET_OK: MethodSpec("basic.get-ok", "QbssI"),
    BASIC_GET_EMPTY: MethodSpec("basic.get-empty", "s"),
    BASIC_ACK: MethodSpec("basic.ack", "Qb"),
    BASIC_NACK: MethodSpec("basic.nack", "Qbb"),
    CONFIRM_SELECT: MethodSpec("confirm.select", "b"),
    CONFIRM_SELECT_OK: MethodSpec("confirm.select-ok", ""),
    TX_SELECT: MethodSpec("tx.select", ""),
    TX_SELECT_OK: MethodSpec("tx.select-ok", ""),
    TX_COMMIT: MethodSpec("tx.commit", ""),
    TX_COMMIT_OK: MethodSpec("tx.commit-ok", ""),
}


def method_name(method: int) -> str:
    """The name of a method for messages: ``queue.declare``, or its numbers if it is not known here."""
    spec = METHODS.get(method)
    return spec.name if spec is not None else f"{method >> 16}.{method & 0xFFFF}"


_INTEGERS: Final = {code: Struct(">" + code) for code in "BHIQ"}
_frame_start = Struct(">BHI").pack
_method_start = Struct(">BHII").pack
_header_start = Struct(">BHIHHQ").pack
_body_start = Struct(">BBHI").pack
_settle = Struct(">BHIIQBB").pack
_read_u32 = Struct(">I").unpack_from


# --- writing ---


def encode_method(channel: int, method: int, *args: Any) -> bytes:
    """Encode a method frame.

    Raises:
        EncodeError: An argument does not fit its field.
    """
    spec = METHODS[method]
    if len(args) != len(spec.fields):
        raise EncodeError(f"{spec.name} takes {len(spec.fields)} arguments, got {len(args)}")
    payload = _encode_fields(spec, args)
    return _method_start(FRAME_METHOD, channel, len(payload) + 4, method) + payload + b"\xce"


def _encode_fields(spec: MethodSpec, args: tuple[Any, ...]) -> bytes:
    parts: list[bytes] = []
    bits: list[bool] = []
    for code, value in zip(spec.fields, args, strict=True):
        if code == "b":
            bits.append(value)
            continue
        if bits:
            parts.append(_pack_bits(bits))
            bits = []
        parts.append(_encode_field(spec.name, code, value))
    if bits:
        parts.append(_pack_bits(bits))
    return b"".join(parts)


def _pack_bits(bits: list[bool]) -> bytes:
    return b"%c" % sum(1 << index for index, bit in enumerate(bits) if bit)


def _encode_field(name: str, code: str, value: Any) -> bytes:
    if code == "s":
        return shortstr(value)
    if code == "T":
        return encode_table(value)
    if code == "S":
        return _INTEGERS["I"].pack(len(value)) + bytes(value)
    width = _INTEGERS[code].size * 8
    if not isinstance(value, int) or not 0 <= value < 1 << width:
        raise EncodeError(f"{name} needs an integer from 0 to {(1 << width) - 1}, not {value!r}")
    return _INTEGERS[code].pack(value)


def encode_publish(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    """Encode the method frame of basic.publish; the same for all messages to one place, so worth keeping."""
    return encode_method(channel, BASIC_PUBLISH, 0, exchange, routing_key, mandatory, False)


def append_content(
    parts: list[bytes],
    channel: int,
    body: bytes,
    properties: Mapping[str, Any],
    headers: Mapping[str, Any] | None,
    frame_max: int,
) -> None:
    """Append content header and body frames of a message to ``parts``, which the caller joins and sends.

    Raises:
        EncodeError: Properties or headers cannot be encoded or do not fit one frame.
    """
    encoded = encode_properties(properties, headers)
    size = len(body)
    room = frame_max - FRAME_OVERHEAD
    if len(encoded) + 12 > room:
        raise EncodeError(f"properties and headers take {len(encoded)} bytes; the frame limit allows {room - 12}")
    header = _header_start(FRAME_HEADER, channel, len(encoded) + 12, 60, 0, size)
    if 0 < size <= room:
        parts += (header, encoded, _body_start(FRAME_END, FRAME_BODY, channel, size), body, b"\xce")
        return
    parts += (header, encoded, b"\xce")
    for start in range(0, size, room):
        piece = body[start : start + room]
        parts += (_frame_start(FRAME_BODY, channel, len(piece)), piece, b"\xce")


def encode_ack(channel: int, tag: int, multiple: bool) -> bytes:
    """Encode basic.ack."""
    return _settle(FRAME_METHOD, channel, 13, BASIC_ACK, tag, multiple, FRAME_END)


def encode_nack(channel: int, tag: int, multiple: bool, requeue: bool) -> bytes:
    """Encode basic.nack."""
    return _settle(FRAME_METHOD, channel, 13, BASIC_NACK, tag, multiple | requeue << 1, FRAME_END)


# --- reading ---


def decode_arguments(method: int, payload: bytes) -> tuple[Any, ...]:
    """Decode the arguments of a method; ``payload`` is that of the frame, method id included.

    Raises:
        FrameError: The method is not known, or its arguments are malformed.
    """
    spec = METHODS.get(method)
    if spec is None:
        raise FrameError(f"method {method_name(method)} is not one this client knows")
    try:
        return _decode_fields(spec, payload)
    except DECODE_FAILURES as exc:
        raise FrameError(f"arguments of {spec.name} are malformed: {exc}") from exc


def _decode_fields(spec: MethodSpec, payload: bytes) -> tuple[Any, ...]:
    values: list[Any] = []
    pos = 4
    bit = 0
    for code in spec.fields:
        if code == "b":
            values.append(bool(payload[pos] >> bit & 1))
            bit += 1
            continue
        if bit:
            pos, bit = pos + 1, 0
        value, pos = _decode_field(code, payload, pos)
        values.append(value)
    if pos + bool(bit) != len(payload):
        raise FrameError(f"{spec.name} has {len(payload) - pos} bytes behind its arguments")
    return tuple(values)


def _decode_field(code: str, payload: bytes, pos: int) -> tuple[Any, int]:
    if code == "s":
        return read_shortstr(payload, pos)
    if code in "ST":
        end = pos + 4 + _read_u32(payload, pos)[0]
        if end > len(payload):
            raise FrameError(f"field at {pos} runs past the end of its frame")
        return (decode_table(payload[pos:end]) if code == "T" else payload[pos + 4 : end]), end
    integer = _INTEGERS[code]
    return integer.unpack_from(payload, pos)[0], pos + integer.size
