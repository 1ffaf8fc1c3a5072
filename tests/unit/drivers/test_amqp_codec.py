"""AMQP values and frames: what is encoded is decoded again, and broken input is refused, not misread."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.drivers.amqp import methods as m
from celeriac.drivers.amqp.codec import decode_table, encode_table, shortstr
from celeriac.drivers.amqp.errors import EncodeError, FrameError
from celeriac.drivers.amqp.frames import Delivery, Event, FrameParser, Method
from celeriac.drivers.amqp.layouts import Layouts
from celeriac.drivers.amqp.properties import decode_properties, encode_properties

any_text = st.text(st.characters(), max_size=400)
keys = st.text(max_size=60)
timestamps = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0, fold=0)
)
decimals = st.builds(
    lambda number, scale: Decimal(number).scaleb(-scale),
    st.integers(-0x80000000, 0x7FFFFFFF),
    st.integers(0, 20),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-0x8000000000000000, 0x7FFFFFFFFFFFFFFF),
    st.floats(allow_nan=False),
    any_text,
    st.binary(max_size=300),
    timestamps,
    decimals,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)
tables = st.dictionaries(keys, values, max_size=8)
short_text = st.text(max_size=60)
properties = st.fixed_dictionaries(
    {},
    optional={
        "content_type": short_text,
        "content_encoding": short_text,
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "correlation_id": short_text,
        "reply_to": short_text,
        "expiration": short_text,
        "message_id": short_text,
        "timestamp": timestamps,
        "type": short_text,
        "user_id": short_text,
        "app_id": short_text,
        "cluster_id": short_text,
    },
)


@given(tables)
def test_tables_survive_a_round_trip_with_their_types(table: dict[str, Any]) -> None:
    back = decode_table(encode_table(table))
    assert back == table
    assert repr(back) == repr(table)


@given(properties, st.none() | tables)
def test_properties_survive_a_round_trip(given: dict[str, Any], headers: dict[str, Any] | None) -> None:
    assert decode_properties(encode_properties(given, headers)) == (given, headers or {})


@given(st.lists(st.tuples(properties, st.none() | tables), min_size=1, max_size=3), st.data())
def test_content_headers_mean_the_same_whatever_was_seen_before(
    kinds: list[tuple[dict[str, Any], dict[str, Any] | None]], data: st.DataObject
) -> None:
    layouts = Layouts()
    for _ in range(8):
        given, headers = data.draw(st.sampled_from(kinds))
        encoded = bytearray(encode_properties(given, headers))
        for _ in range(data.draw(st.integers(0, 2))):
            encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
        try:
            expected = decode_properties(bytes(encoded))
        except FrameError:
            with pytest.raises(FrameError):
                layouts.decode(bytes(encoded))
            continue
        found = layouts.decode(bytes(encoded))
        assert repr(found) == repr(expected)
        for value in found[1].values():
            if isinstance(value, list | dict):
                value.clear()  # what the receiver does to its message is nobody else's business


def test_content_headers_that_differ_in_texts_share_a_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    layouts = Layouts()
    encoded = [
        encode_properties(
            {"correlation_id": f"{number:05}", "priority": 3}, {"id": f"{number:05}", "limits": [None, 1]}
        )
        for number in range(5)
    ]
    expected = [decode_properties(each) for each in encoded]
    assert [layouts.decode(each) for each in encoded[:2]] == expected[:2]
    monkeypatch.setattr("celeriac.drivers.amqp.layouts.decode_properties", None)
    found = [layouts.decode(each) for each in encoded[2:]]
    assert found == expected[2:]
    assert found[0][1]["limits"] is not found[1][1]["limits"]


def test_a_length_at_which_content_headers_differ_is_given_up() -> None:
    layouts = Layouts()
    encoded = [encode_properties({}, {"a": number}) for number in range(200)]
    assert [layouts.decode(each) for each in encoded] == [decode_properties(each) for each in encoded]
    assert set(layouts._by_length.values()) == {None}


def test_the_number_of_remembered_lengths_is_bounded() -> None:
    layouts = Layouts()
    for length in [*range(300), *range(300)]:
        layouts.decode(encode_properties({}, {"a": "x" * length}))
    assert len(layouts._seen) <= 256
    assert len(layouts._by_length) <= 256


@given(st.binary(max_size=200))
def test_random_bytes_are_a_table_or_a_frame_error(data: bytes) -> None:
    try:
        table = decode_table(pack(">I", len(data)) + data)
    except FrameError:
        return
    assert isinstance(table, dict)


@given(st.dictionaries(keys, values, min_size=1, max_size=8), st.data())
def test_truncated_tables_are_refused(table: dict[str, Any], data: st.DataObject) -> None:
    encoded = encode_table(table)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(FrameError):
        decode_table(encoded[:cut])


@pytest.mark.parametrize(
    ("tag", "payload", "expected"),
    [
        (b"t", b"\x01", True),
        (b"b", b"\xff", -1),
        (b"B", b"\xff", 255),
        (b"s", b"\xff\xfe", -2),
        (b"u", b"\xff\xfe", 65534),
        (b"I", b"\xff\xff\xff\xff", -1),
        (b"i", b"\xff\xff\xff\xff", 4294967295),
        (b"l", b"\xff" * 8, -1),
        (b"f", b"\x3f\x80\x00\x00", 1.0),
        (b"d", b"\x3f\xf0" + b"\x00" * 6, 1.0),
        (b"D", b"\x02\x00\x00\x00\x7b", Decimal("1.23")),
        (b"S", b"\x00\x00\x00\x02hi", "hi"),
        (b"x", b"\x00\x00\x00\x02\x00\xff", b"\x00\xff"),
        (b"A", b"\x00\x00\x00\x03t\x01V", [True, None]),
        (b"T", b"\x00" * 7 + b"\x3c", datetime(1970, 1, 1, 0, 1, tzinfo=UTC)),
        (b"T", b"\xff" * 8, 0xFFFFFFFFFFFFFFFF),
        (b"F", b"\x00\x00\x00\x03\x01aV", {"a": None}),
        (b"V", b"", None),
    ],
)
def test_every_field_type_of_rabbitmq_is_read(tag: bytes, payload: bytes, expected: object) -> None:
    entry = b"\x01k" + tag + payload
    back = decode_table(pack(">I", len(entry)) + entry)["k"]
    assert back == expected
    assert type(back) is type(expected)


def test_text_that_is_not_utf8_is_kept_instead_of_refused() -> None:
    entry = b"\x01kS\x00\x00\x00\x02\xff\xfe"
    value = decode_table(pack(">I", len(entry)) + entry)["k"]
    assert value.encode("utf-8", "surrogateescape") == b"\xff\xfe"


@pytest.mark.parametrize(
    "table",
    [
        {"k": object()},
        {"k": 1 << 63},
        {"k": Decimal("NaN")},
        {"k": Decimal("1e20")},
        {"k" * 256: 1},
        {1: "x"},
    ],
)
def test_values_without_an_amqp_type_are_refused(table: dict[Any, Any]) -> None:
    with pytest.raises(EncodeError):
        encode_table(table)


def test_a_string_longer_than_255_bytes_is_refused_as_a_name() -> None:
    assert shortstr("é" * 127)[0] == 254
    with pytest.raises(EncodeError, match="256 bytes"):
        shortstr("é" * 128)


@pytest.mark.parametrize(
    "given", [{"origin": "gen1@host"}, {"priority": 256}, {"delivery_mode": "2"}, {"timestamp": "now"}]
)
def test_wrong_properties_are_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(EncodeError, match=next(iter(given))):
        encode_properties(given, None)


def test_properties_that_are_none_are_absent() -> None:
    assert decode_properties(encode_properties({"priority": None, "type": "t"}, None)) == ({"type": "t"}, {})


# --- frames ---

FIELD_VALUES = {
    "B": st.integers(0, 255),
    "H": st.integers(0, 65535),
    "I": st.integers(0, 0xFFFFFFFF),
    "Q": st.integers(0, 0xFFFFFFFFFFFFFFFF),
    "s": short_text,
    "S": st.binary(max_size=50),
    "T": tables,
    "b": st.booleans(),
}
WITH_CONTENT = (m.BASIC_DELIVER, m.BASIC_GET_OK, m.BASIC_RETURN)


@st.composite
def method_events(draw: st.DrawFn) -> tuple[bytes, tuple[Any, ...]]:
    method = draw(st.sampled_from([each for each in m.METHODS if each not in WITH_CONTENT]))
    args = tuple(draw(FIELD_VALUES[code]) for code in m.METHODS[method].fields)
    channel = draw(st.integers(0, 65535))
    return m.encode_method(channel, method, *args), (channel, method, args)


@st.composite
def delivery_events(draw: st.DrawFn) -> tuple[bytes, tuple[Any, ...]]:
    method = draw(st.sampled_from(WITH_CONTENT))
    args = tuple(draw(FIELD_VALUES[code]) for code in m.METHODS[method].fields)
    channel = draw(st.integers(1, 65535))
    body = draw(st.binary(max_size=300))
    given, headers = draw(properties), draw(st.dictionaries(keys, scalars, max_size=3))
    parts = [m.encode_method(channel, method, *args)]
    m.append_content(parts, channel, body, given, headers, frame_max=100_000 if draw(st.booleans()) else 4096)
    return b"".join(parts), (channel, method, args, given, headers, body)


def seen(event: Event) -> tuple[Any, ...]:
    if isinstance(event, Method):
        return tuple(event)
    tag, again = event.delivery_tag, event.redelivered
    place = (event.exchange, event.routing_key)
    if event.method == m.BASIC_DELIVER:
        args: tuple[Any, ...] = (event.consumer_tag, tag, again, *place)
    elif event.method == m.BASIC_GET_OK:
        args = (tag, again, *place)
    else:
        args = (*(event.reply or ()), *place)
    return (event.channel, event.method, args, event.properties, event.headers, event.body)


@given(st.lists(method_events() | delivery_events(), max_size=6), st.data())
def test_frames_are_read_whatever_pieces_they_arrive_in(
    sent: list[tuple[bytes, tuple[Any, ...]]], data: st.DataObject
) -> None:
    stream = b"".join(each + m.HEARTBEAT for each, _expected in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parser = FrameParser()
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if end > start:
            events += parser.feed(stream[start:end])
    expected = [each for _bytes, each in sent]
    # get-ok also tells how many messages are left, which a Delivery does not keep.
    expected = [(*e[:2], e[2][:4], *e[3:]) if e[1] == m.BASIC_GET_OK else e for e in expected]
    assert [seen(event) for event in events] == expected


@given(st.binary(min_size=1, max_size=100))
def test_a_stream_of_random_bytes_raises_nothing_but_frame_errors(data: bytes) -> None:
    parser = FrameParser()
    try:
        for start in range(0, len(data), 7):
            parser.feed(data[start : start + 7])
    except FrameError:
        return


@given(delivery_events(), st.data())
def test_a_changed_byte_raises_nothing_but_frame_errors(
    event: tuple[bytes, tuple[Any, ...]], data: st.DataObject
) -> None:
    stream = bytearray(event[0])
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    try:
        events = FrameParser().feed(bytes(stream))
    except FrameError:
        return
    assert all(isinstance(each, Delivery | Method) for each in events)


def test_contents_of_different_channels_may_interleave() -> None:
    streams = []
    for channel in (1, 2):
        parts = [m.encode_method(channel, m.BASIC_DELIVER, "c", channel, False, "", "q")]
        m.append_content(parts, channel, b"%d" % channel * 5000, {}, None, 4096)
        streams.append(split_frames(b"".join(parts)))
    frames = zip(*streams, strict=True)
    events = FrameParser().feed(b"".join(a + b for a, b in frames))
    assert [each.body for each in events if isinstance(each, Delivery)] == [b"1" * 5000, b"2" * 5000]


def split_frames(stream: bytes) -> list[bytes]:
    frames = []
    while stream:
        size = int.from_bytes(stream[3:7]) + 8
        frames.append(stream[:size])
        stream = stream[size:]
    return frames


DELIVER = m.encode_method(1, m.BASIC_DELIVER, "c", 1, False, "", "q")
HEADER = pack(">BHIHHQH", 2, 1, 14, 60, 0, 4, 0) + b"\xce"


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "not an AMQP"),
        (m.PROTOCOL_HEADER, "not an AMQP"),
        (pack(">BHIB", 1, 0, 131065, 0), "larger than the limit"),
        (m.HEARTBEAT[:-1] + b"\x00", "0xCE"),
        (HEADER, "without a method"),
        (DELIVER + DELIVER, "inside another message"),
        (DELIVER + m.encode_ack(1, 1, False), "inside a message"),
        (DELIVER + HEADER + pack(">BHI", 3, 1, 5) + b"12345\xce", "nothing announced"),
        (pack(">BHII", 1, 1, 4, 99 << 16 | 1) + b"\xce", "99.1"),
        (pack(">BHIIB", 1, 1, 5, m.BASIC_QOS_OK, 0) + b"\xce", "behind its arguments"),
    ],
)
def test_broken_streams_are_refused(stream: bytes, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        FrameParser().feed(stream)


def test_headers_larger_than_a_frame_are_refused_before_sending() -> None:
    with pytest.raises(EncodeError, match="frame limit"):
        m.append_content([], 1, b"", {}, {"k": "x" * 5000}, 4096)


def test_method_arguments_are_checked() -> None:
    with pytest.raises(EncodeError, match=r"basic\.qos"):
        m.encode_method(1, m.BASIC_QOS, 0, 70000, False)
    with pytest.raises(EncodeError, match="takes 3 arguments"):
        m.encode_method(1, m.BASIC_QOS, 0)
