"""Basic properties and the header table of a message to bytes and back; knows no frames."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.drivers.amqp.codec import (
    DECODE_FAILURES,
    cached_shortstr,
    encode_table,
    epoch_seconds,
    read_table,
    read_text,
    read_timestamp,
    shortstr,
)
from celeriac.drivers.amqp.errors import EncodeError, FrameError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PROPERTIES", "decode_properties", "encode_properties", "read_plan"]

_U64 = Struct(">Q")
_read_size = Struct(">I").unpack_from


class _Property(NamedTuple):
    flag: int
    kind: str  # n: name (repeats), s: short string, o: octet, t: timestamp, h: table


#: In wire order: that of falling flag bits.
PROPERTIES: dict[str, _Property] = {
    "content_type": _Property(0x8000, "n"),
    "content_encoding": _Property(0x4000, "n"),
    "headers": _Property(0x2000, "h"),
    "delivery_mode": _Property(0x1000, "o"),
    "priority": _Property(0x0800, "o"),
    "correlation_id": _Property(0x0400, "s"),
    "reply_to": _Property(0x0200, "n"),
    "expiration": _Property(0x0100, "s"),
    "message_id": _Property(0x0080, "s"),
    "timestamp": _Property(0x0040, "t"),
    "type": _Property(0x0020, "n"),
    "user_id": _Property(0x0010, "n"),
    "app_id": _Property(0x0008, "n"),
    "cluster_id": _Property(0x0004, "n"),
}
_HEADERS_FLAG = 0x2000
_pack_flags = Struct(">H").pack
_read_flags = Struct(">H").unpack_from


@lru_cache(maxsize=512)
def _write_plan(
    names: tuple[str, ...],
) -> tuple[int, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Flags, properties before the headers and properties behind them, for one set of property names."""
    unknown = [name for name in names if name not in PROPERTIES or name == "headers"]
    if unknown:
        raise EncodeError(f"unknown basic property {unknown[0]!r}; AMQP 0-9-1 has {', '.join(PROPERTIES)}")
    flags = sum(PROPERTIES[name].flag for name in names)
    present = [(name, spec) for name, spec in PROPERTIES.items() if name in names]
    before = tuple((name, spec.kind) for name, spec in present if spec.flag > _HEADERS_FLAG)
    behind = tuple((name, spec.kind) for name, spec in present if spec.flag < _HEADERS_FLAG)
    return flags, before, behind


def encode_properties(properties: Mapping[str, Any], headers: Mapping[str, Any] | None) -> bytes:
    """Encode the property flags and the property list of a content header.

    Args:
        properties: Basic properties by their names with underscores; a value of ``None`` means absent.
        headers: The header table, ``None`` for a message without one.

    Raises:
        EncodeError: A property does not exist or its value does not fit.
    """
    if None in properties.values():
        properties = {name: value for name, value in properties.items() if value is not None}
    flags, before, behind = _write_plan(tuple(properties))
    parts = [b""]
    for name, _kind in before:
        parts.append(cached_shortstr(properties[name]))
    if headers is not None:
        flags |= _HEADERS_FLAG
        parts.append(encode_table(headers))
    for name, kind in behind:
        value = properties[name]
        if kind == "n":
            parts.append(cached_shortstr(value))
        elif kind == "s":
            parts.append(shortstr(value))
        else:
            parts.append(_encode_octet(name, value) if kind == "o" else _encode_timestamp(value))
    parts[0] = _pack_flags(flags)
    return b"".join(parts)


def _encode_octet(name: str, value: object) -> bytes:
    if not isinstance(value, int) or not 0 <= value <= 255:
        raise EncodeError(f"property {name} must be an integer from 0 to 255, not {value!r}")
    return b"%c" % value


def _encode_timestamp(value: object) -> bytes:
    seconds = epoch_seconds(value) if isinstance(value, datetime) else value
    if not isinstance(seconds, int) or not 0 <= seconds < 1 << 64:
        raise EncodeError(f"property timestamp must be a datetime or seconds since 1970, not {value!r}")
    return _U64.pack(seconds)


@lru_cache(maxsize=4096)
def read_plan(flags: int) -> tuple[tuple[str, str], ...]:
    """Name and kind of each property that some flags announce, in order."""
    unknown = flags & 0x0003
    if unknown:
        raise FrameError(f"content header has unknown property flags {unknown:#x}")
    return tuple((name, spec.kind) for name, spec in PROPERTIES.items() if flags & spec.flag)


def decode_properties(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Decode flags and property list; ``data`` starts with the flags and ends with the last property.

    Returns:
        The properties that are present, without the header table, and the header table (empty if absent).

    Raises:
        FrameError: The bytes are not a property list.
    """
    try:
        return _read_properties(data)
    except DECODE_FAILURES as exc:
        raise FrameError(f"content header is malformed: {exc}") from exc


def _read_properties(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    properties: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    text = str(data, "latin-1")
    plain = data[2:].isascii()
    pos = 2
    for name, kind in read_plan(_read_flags(data, 0)[0]):
        if kind == "s" or kind == "n":
            start = pos + 1
            pos = start + data[pos]
            value = text[start:pos]
            properties[name] = value if plain or value.isascii() else read_text(data[start:pos])
        elif kind == "o":
            properties[name] = data[pos]
            pos += 1
        elif kind == "h":
            start = pos + 4
            pos = start + _read_size(data, pos)[0]
            if pos > len(data):
                raise FrameError("header table runs past the end of its frame")
            headers = read_table(data, text, plain, start, pos)
        else:
            properties[name] = read_timestamp(_U64.unpack_from(data, pos)[0])
            pos += 8
    if pos != len(data):
        raise FrameError(f"property list ends at byte {pos} of {len(data)}")
    return properties, headers
