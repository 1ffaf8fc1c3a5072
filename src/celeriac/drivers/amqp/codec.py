"""AMQP 0-9-1 values: strings and field tables to bytes and back; knows no frames.

Wire rules come from the AMQP 0-9-1 specification, field types from RabbitMQ's protocol errata:
``s`` is a 16-bit integer, ``l`` a signed 64-bit one and ``x`` a byte array.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from struct import error as struct_error
from typing import Any

from celeriac.drivers.amqp.errors import EncodeError, FrameError

__all__ = [
    "DECODE_FAILURES",
    "cached_shortstr",
    "decode_table",
    "encode_table",
    "encode_value",
    "epoch_seconds",
    "read_shortstr",
    "read_table",
    "read_text",
    "read_timestamp",
    "shortstr",
]

_U32 = Struct(">I")
_U64 = Struct(">Q")
_I32 = Struct(">i")
_I64 = Struct(">q")
_F64 = Struct(">d")
_DECIMAL = Struct(">Bi")
_read_u32 = _U32.unpack_from
_read_i32 = _I32.unpack_from
_pack_u32 = _U32.pack
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DECIMAL_SCALE = 255

# Most strings in a header table are short: an index is cheaper than a call to pack.
_LENGTHS = [_U32.pack(_n) for _n in range(1024)]

#: What the decoders raise on truncated or senseless input, besides FrameError.
DECODE_FAILURES = (IndexError, struct_error, UnicodeDecodeError, RecursionError, OverflowError)


# --- strings ---


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def read_text(data: bytes) -> str:
    """Decode text that may not be UTF-8: AMQP does not promise it, and that must not stop a consumer."""
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return str(data, "utf-8", "surrogateescape")


def shortstr(text: str) -> bytes:
    """Encode a short string: one length octet and at most 255 octets of UTF-8.

    Raises:
        EncodeError: The text is not a string or too long.
    """
    if not isinstance(text, str):
        raise EncodeError(f"expected a string, got {text!r} ({type(text).__name__})")
    data = _utf8(text)
    if len(data) > 255:
        raise EncodeError(f"{text[:60]!r}... takes {len(data)} bytes; names and properties may have at most 255")
    return b"%c%b" % (len(data), data)


# Names come back with every message; the bound keeps caller-made names from piling up.
cached_shortstr = lru_cache(maxsize=2048)(shortstr)


def read_shortstr(data: bytes, pos: int) -> tuple[str, int]:
    """Read a short string at ``pos``; returns it and the position behind it."""
    start = pos + 1
    end = start + data[pos]
    if end > len(data):
        raise FrameError(f"short string at {pos} runs past the end of its frame")
    return read_text(data[start:end]), end


# --- field tables: encoding ---


def encode_table(table: Mapping[str, Any]) -> bytes:
    """Encode a field table, length prefix included.

    ``None`` becomes V, bool t, int I or l, float d, str S, bytes x, list and tuple A, a mapping F, datetime T
    (whole seconds; a naive one is taken as UTC), Decimal D.

    Raises:
        EncodeError: A key is no string of at most 255 bytes, or a value has no AMQP type.
    """
    parts: list[bytes] = []
    for key, value in table.items():
        kind = type(value)
        if kind is str:
            try:
                data = value.encode()
            except UnicodeEncodeError:
                data = _utf8(value)
            length = len(data)
            parts += (_string_entry(key), _LENGTHS[length] if length < 1024 else _pack_u32(length), data)
        elif value is None:
            parts.append(_none_entry(key))
        elif kind is bool or kind is int:
            parts.append(_number_entry(key, value))
        else:
            parts += (cached_shortstr(key), encode_value(value))
    data = b"".join(parts)
    length = len(data)
    return (_LENGTHS[length] if length < 1024 else _pack_u32(length)) + data


# What repeats from message to message: keys, absent values, flags and small numbers.
@lru_cache(maxsize=2048)
def _string_entry(key: str) -> bytes:
    return shortstr(key) + b"S"


@lru_cache(maxsize=2048)
def _none_entry(key: str) -> bytes:
    return shortstr(key) + b"V"


@lru_cache(maxsize=2048, typed=True)
def _number_entry(key: str, value: int) -> bytes:
    return shortstr(key) + encode_value(value)


def encode_value(value: object) -> bytes:
    """Encode one field value with its type octet.

    Raises:
        EncodeError: The value has no AMQP type or does not fit it.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        encoder = _encoder_of_subclass(value)
    return encoder(value)


def _encoder_of_subclass(value: object) -> Callable[[Any], bytes]:
    for kind, encoder in _ENCODERS.items():
        if isinstance(value, kind):
            return encoder
    if isinstance(value, Mapping):
        return _encode_mapping
    raise EncodeError(f"{value!r} ({type(value).__name__}) has no AMQP field type; convert it to a string first")


def _encode_int(value: int) -> bytes:
    if -0x80000000 <= value <= 0x7FFFFFFF:
        return b"I" + _I32.pack(value)
    if -0x8000000000000000 <= value <= 0x7FFFFFFFFFFFFFFF:
        return b"l" + _I64.pack(value)
    raise EncodeError(f"integer {value} does not fit in 64 bits; pass it as a string")


def _encode_str(value: str) -> bytes:
    data = _utf8(value)
    return b"S" + _pack_u32(len(data)) + data


def _encode_bytes(value: bytes | bytearray | memoryview) -> bytes:
    data = bytes(value)
    return b"x" + _pack_u32(len(data)) + data


def _encode_list(value: list[Any] | tuple[Any, ...]) -> bytes:
    data = b"".join([encode_value(item) for item in value])
    return b"A" + _pack_u32(len(data)) + data


def _encode_mapping(value: Mapping[str, Any]) -> bytes:
    if not value:
        return b"F\x00\x00\x00\x00"
    return b"F" + encode_table(value)


def _encode_datetime(value: datetime) -> bytes:
    return b"T" + _U64.pack(epoch_seconds(value))


def epoch_seconds(value: datetime) -> int:
    """Whole seconds since 1970; a naive datetime is taken as UTC."""
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    seconds = (aware - _EPOCH) // timedelta(seconds=1)
    if seconds < 0:
        raise EncodeError(f"{value.isoformat()} is before 1970, which an AMQP timestamp cannot express")
    return seconds


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise EncodeError(f"{value} is not finite; AMQP decimals are")
    number = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    scale = max(-exponent, 0)
    number = -number if sign else number
    if scale > _MAX_DECIMAL_SCALE or not -0x80000000 <= number <= 0x7FFFFFFF:
        raise EncodeError(f"{value} does not fit an AMQP decimal (32-bit number, scale up to 255); pass it as a string")
    return b"D" + _DECIMAL.pack(scale, number)


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    # bool stands before int: it is a subclass of it and is looked for first.
    bool: lambda value: b"t\x01" if value else b"t\x00",
    int: _encode_int,
    float: lambda value: b"d" + _F64.pack(value),
    str: _encode_str,
    type(None): lambda _value: b"V",
    list: _encode_list,
    tuple: _encode_list,
    dict: _encode_mapping,
    bytes: _encode_bytes,
    bytearray: _encode_bytes,
    memoryview: _encode_bytes,
    datetime: _encode_datetime,
    Decimal: _encode_decimal,
}


# --- field tables: decoding ---


def decode_table(data: bytes) -> dict[str, Any]:
    """Decode a field table that starts with its length and fills ``data``.

    Raises:
        FrameError: The bytes are not a field table.
    """
    try:
        (size,) = _read_u32(data, 0)
        if size != len(data) - 4:
            raise FrameError(f"field table claims {size} bytes and has {len(data) - 4}")
        return read_table(data, str(data, "latin-1"), data.isascii(), 4, len(data))
    except DECODE_FAILURES as exc:
        raise FrameError(f"field table is malformed: {exc}") from exc


def read_table(data: bytes, text: str, plain: bool, pos: int, end: int) -> dict[str, Any]:
    """Read table entries between ``pos`` and ``end``.

    ``text`` is ``data`` as Latin-1: a slice of it is the decoded string whenever that is ASCII, which
    ``plain`` promises for all of ``data``. That is less than half of the cost of slicing bytes and decoding
    each piece.
    """
    table: dict[str, Any] = {}
    while pos < end:
        start = pos + 1
        pos = start + data[pos]
        key = text[start:pos]
        if not plain and not key.isascii():
            key = read_text(data[start:pos])
        tag = data[pos]
        if tag == 83:  # S
            (size,) = _read_u32(data, pos + 1)
            start = pos + 5
            pos = start + size
            value = text[start:pos]
            if not plain and not value.isascii():
                value = read_text(data[start:pos])
            table[key] = value
        elif tag == 86:  # V
            pos += 1
            table[key] = None
        elif tag == 73:  # I
            (table[key],) = _read_i32(data, pos + 1)
            pos += 5
        elif tag == 116:  # t
            table[key] = data[pos + 1] != 0
            pos += 2
        else:
            table[key], pos = read_value(data, text, plain, pos)
    if pos != end:
        raise FrameError(f"field table runs {pos - end} bytes past its end")
    return table


def read_value(data: bytes, text: str, plain: bool, pos: int) -> tuple[Any, int]:
    """Read one value that begins with its type at ``pos``; returns it and where it ends."""
    tag = data[pos]
    if tag == 86:
        return None, pos + 1
    fixed = _FIXED.get(tag)
    if fixed is not None:
        unpack, width, convert = fixed
        (value,) = unpack(data, pos + 1)
        return (value if convert is None else convert(value)), pos + 1 + width
    if tag == 68:  # D
        scale, number = _DECIMAL.unpack_from(data, pos + 1)
        return _decimal(scale, number), pos + 6
    (size,) = _read_u32(data, pos + 1)
    start = pos + 5
    end = start + size
    if end > len(data):
        raise FrameError(f"field of type {chr(tag)!r} claims {size} bytes and runs past its frame")
    if tag == 83:
        return read_text(data[start:end]), end
    if tag == 70:  # F
        return read_table(data, text, plain, start, end), end
    if tag == 65:  # A
        return _read_array(data, text, plain, start, end), end
    if tag == 120:  # x
        return data[start:end], end
    raise FrameError(f"unknown field type {chr(tag)!r}")


def _read_array(data: bytes, text: str, plain: bool, pos: int, end: int) -> list[Any]:
    items: list[Any] = []
    while pos < end:
        item, pos = read_value(data, text, plain, pos)
        items.append(item)
    if pos != end:
        raise FrameError(f"field array runs {pos - end} bytes past its end")
    return items


def _decimal(scale: int, number: int) -> Decimal:
    digits = tuple(map(int, str(abs(number))))
    return Decimal((1 if number < 0 else 0, digits, -scale))


def read_timestamp(seconds: int) -> datetime | int:
    """A timestamp as an aware datetime; one that datetime cannot hold stays a number."""
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return seconds


_FIXED: dict[int, tuple[Callable[..., tuple[Any, ...]], int, Callable[[Any], Any] | None]] = {
    ord(tag): (Struct(">" + code).unpack_from, Struct(">" + code).size, convert)
    for tag, code, convert in (
        ("t", "B", bool),
        ("b", "b", None),
        ("B", "B", None),
        ("s", "h", None),
        ("u", "H", None),
        ("I", "i", None),
        ("i", "I", None),
        ("l", "q", None),
        ("f", "f", None),
        ("d", "d", None),
        ("T", "Q", read_timestamp),
    )
}
