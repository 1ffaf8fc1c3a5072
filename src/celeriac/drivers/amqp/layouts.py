"""Content headers that look like one seen before, decoded at less than half of the cost; knows no frames.

Messages of one kind differ in a few texts, as ids are, and agree in every other byte: names and types of headers,
lengths of texts, numbers.  A *layout* is what they agree in.  One ``struct`` call takes a content header apart, and
when the bytes between the texts are those of the layout, what they mean is known.
"""

from __future__ import annotations

from copy import copy
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.drivers.amqp.codec import read_text, read_value
from celeriac.drivers.amqp.properties import decode_properties, read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

_read_flags = Struct(">H").unpack_from
_read_size = Struct(">I").unpack_from
_LONG_STRING = ord("S")
#: Lengths of content headers that are remembered, and the longest in bytes.
_KEPT, _LONGEST = 256, 2048
#: What a miss costs and the most that hits can save up: a length at which headers differ is given up soon.
_MISS, _CREDIT = 8, 64

Decoded = tuple[dict[str, Any], dict[str, Any]]


class Layouts:
    """The layouts seen on one connection."""

    def __init__(self) -> None:
        # None: given up, or not worth it.
        self._by_length: dict[int, _Layout | None] = {}
        self._seen: set[int] = set()

    def decode(self, data: bytes) -> Decoded:
        """The same as `decode_properties`."""
        length = len(data)
        layout = self._by_length.get(length)
        if layout is None:
            decoded = decode_properties(data)
            if length not in self._by_length and length <= _LONGEST:
                self._learn(length, data, decoded)
            return decoded
        found = layout.decode(data)
        if found is None:
            layout.credit -= _MISS
            if layout.credit < 0:
                self._by_length[length] = None
            return decode_properties(data)
        if layout.credit < _CREDIT:
            layout.credit += 1
        return found

    def _learn(self, length: int, data: bytes, decoded: Decoded) -> None:
        """Make a layout when a length is seen for the second time: it costs as much as decoding twice."""
        if length in self._seen:
            self._by_length[length] = _layout_of(data, *decoded)
        elif len(self._seen) < _KEPT:
            self._seen.add(length)
        else:
            self._seen.clear()
            self._by_length.clear()


class _Text(NamedTuple):
    """A text in a content header: whose value it is, and where."""

    in_headers: bool
    name: str
    start: int
    end: int


class _Layout:
    """One layout; ``credit`` tells whether it is worth looking at."""

    __slots__ = (
        "_between",
        "_containers",
        "_example",
        "_header_names",
        "_inner",
        "_outer_names",
        "_take_apart",
        "credit",
    )

    def __init__(self, data: bytes, texts: list[_Text], example: Decoded) -> None:
        pieces, before = "", 0
        for text in texts:
            pieces += f"{text.start - before}s{text.end - text.start}s"
            before = text.end
        self._take_apart = Struct(f"{pieces}{len(data) - before}s").unpack
        self._between = self._take_apart(data)[::2]
        # The header table lies between the properties.
        inner = [index for index, text in enumerate(texts) if text.in_headers]
        self._inner = slice(inner[0], inner[-1] + 1) if inner else slice(0, 0)
        self._header_names = [text.name for text in texts if text.in_headers]
        self._outer_names = [text.name for text in texts if not text.in_headers]
        self._example = example
        # A list or a table is nobody's but the message's own.
        self._containers = [(name, value.copy) for name, value in example[1].items() if isinstance(value, list | dict)]
        self.credit = _CREDIT

    def decode(self, data: bytes) -> Decoded | None:
        """What a content header of the same length means, or None when its layout is another one."""
        pieces = self._take_apart(data)
        if pieces[::2] != self._between:
            return None
        try:
            texts = [str(piece, "utf-8") for piece in pieces[1::2]]
        except UnicodeDecodeError:
            return None
        properties, headers = self._example[0].copy(), self._example[1].copy()
        headers.update(zip(self._header_names, texts[self._inner], strict=True))
        del texts[self._inner]
        properties.update(zip(self._outer_names, texts, strict=True))
        for name, make in self._containers:
            headers[name] = make()
        return properties, headers


def _layout_of(data: bytes, properties: dict[str, Any], headers: dict[str, Any]) -> _Layout | None:
    """The layout of a content header, unless a value is too deep to be copied or a name comes twice."""
    texts = list(_texts_of(data))
    entries = [text.name for text in texts if text.in_headers]
    flat = all(_is_flat(value) for value in headers.values())
    if not flat or len(set(entries)) < len(entries):
        return None
    return _Layout(data, texts, (properties.copy(), {name: copy(value) for name, value in headers.items()}))


def _is_flat(value: Any) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return True
    return not any(isinstance(item, list | dict) for item in value)


def _texts_of(data: bytes) -> Iterator[_Text]:
    """The texts of a content header that is known to be sound."""
    pos = 2
    for name, kind in read_plan(_read_flags(data, 0)[0]):
        if kind in "sn":
            start, pos = pos + 1, pos + 1 + data[pos]
            yield _Text(False, name, start, pos)
        elif kind == "h":
            end = pos + 4 + _read_size(data, pos)[0]
            pos += 4
            while pos < end:
                start, pos = pos + 1, pos + 1 + data[pos]
                key = read_text(data[start:pos])
                value_at = pos
                _, pos = read_value(data, "", False, pos)
                if data[value_at] == _LONG_STRING:
                    yield _Text(True, key, value_at + 5, pos)
        else:
            pos += 1 if kind == "o" else 8
