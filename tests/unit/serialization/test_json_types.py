"""JSON with type tags; encoded forms were observed with kombu 5.7.0."""

from __future__ import annotations

import collections
import decimal
import enum
import json
import sys
import types
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.serialization import json_types
from celeriac.serialization.codecs import JSON

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUS_TWO = timezone(timedelta(hours=2))
ID = uuid.UUID(int=5)


class WithJson:
    def __json__(self) -> dict[str, int]:
        return {"j": 1}


class Level(enum.IntEnum):
    LOW = 1


class Text(str, enum.Enum):  # noqa: UP042 -- the older spelling is what users have
    X = "x"


Point = collections.namedtuple("Point", "x y")

TAGGED: list[tuple[Any, str]] = [
    (
        datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        '{"__type__": "datetime", "__value__": "2026-01-02T03:04:05.000006+00:00"}',
    ),
    (datetime(2026, 1, 2), '{"__type__": "datetime", "__value__": "2026-01-02T00:00:00"}'),
    (datetime(2026, 1, 2, tzinfo=PLUS_TWO), '{"__type__": "datetime", "__value__": "2026-01-02T00:00:00+02:00"}'),
    (date(2026, 1, 2), '{"__type__": "date", "__value__": "2026-01-02"}'),
    (time(1, 2, 3), '{"__type__": "time", "__value__": "01:02:03"}'),
    (time(1, 2, 3, 4, PLUS_TWO), '{"__type__": "time", "__value__": "01:02:03.000004+02:00"}'),
    (decimal.Decimal("1.50"), '{"__type__": "decimal", "__value__": "1.50"}'),
    (ID, '{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000005"}}'),
    (b"abc", '{"__type__": "bytes", "__value__": "abc"}'),
    (b"", '{"__type__": "bytes", "__value__": ""}'),
    (b"\xff\xfe", '{"__type__": "base64", "__value__": "//4="}'),
    ([b"a", [b"b"]], '[{"__type__": "bytes", "__value__": "a"}, [{"__type__": "bytes", "__value__": "b"}]]'),
]

PLAIN: list[tuple[Any, str]] = [
    (
        [[1, 2], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
        '[[1, 2], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]',
    ),
    ((1, 2), "[1, 2]"),
    (Point(1, 2), "[1, 2]"),
    (WithJson(), '{"j": 1}'),
    (Level.LOW, "1"),
    (Text.X, '"x"'),
    ("é\u2028", '"\\u00e9\\u2028"'),
    ({1: 2, None: 1}, '{"1": 2, "null": 1}'),
    ({True: 3, 1.5: 4}, '{"true": 3, "1.5": 4}'),
    (float("nan"), "NaN"),
    (float("-inf"), "-Infinity"),
    (10**40, "1" + "0" * 40),
    (collections.OrderedDict(b=1), '{"b": 1}'),
]


@pytest.mark.parametrize(("value", "text"), TAGGED)
def test_types_json_lacks_are_tagged_and_come_back(value: Any, text: str) -> None:
    assert JSON.dumps(value) == text.encode()
    again = JSON.loads(text.encode())
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(("value", "text"), PLAIN)
def test_values_are_written_as_celery_writes_them(value: Any, text: str) -> None:
    assert JSON.dumps(value) == text.encode()


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(timezones=st.sampled_from([None, UTC, PLUS_TWO])),
    st.dates(),
    st.times(),
    st.decimals(allow_nan=False),
    st.uuids(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(), inner, max_size=5)),
    max_leaves=25,
)


@given(VALUES)
def test_every_value_comes_back(value: Any) -> None:
    assert JSON.loads(JSON.dumps(value)) == value


@given(st.recursive(st.one_of(st.none(), st.integers(), st.text()), lambda inner: st.lists(inner), max_leaves=20))
def test_untagged_output_is_that_of_the_standard_library(value: Any) -> None:
    assert JSON.dumps(value) == json.dumps(value).encode()


@given(st.binary(max_size=60))
def test_random_bytes_decode_or_raise_a_decode_error(data: bytes) -> None:
    try:
        JSON.loads(data)
    except DecodeError:
        return


def test_both_encoders_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [value for value, _ in TAGGED + PLAIN]
    fast = [json_types.dumps(value) for value in values]
    monkeypatch.setattr(json_types, "_c_encode", None)
    assert [json_types.dumps(value) for value in values] == fast


@pytest.mark.parametrize(
    "data",
    [b"1" * 40, b"-0.0", b"1e400", b"NaN", b'"\\ud800"', b'{"a":1,"a":2}', b" [1]\n", b"9007199254740993.0", b'""']
    + [text.encode() for _, text in PLAIN],
)
def test_both_decoders_read_the_same(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    json_types._use_msgspec()
    fast = json_types.loads(data)
    monkeypatch.setattr(json_types, "_c_decode", json_types._decode)
    assert repr(json_types.loads(data)) == repr(fast) == repr(json.loads(data))


@pytest.mark.parametrize("data", [b"", b"[", b"[1,]", b"01", b'"\t"', b"1" * 5000, b"\xff", b"\xef\xbb\xbf1"])
def test_both_decoders_refuse_the_same(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    json_types._use_msgspec()
    with pytest.raises(ValueError, match=r"\w"):
        json_types.loads(data)
    monkeypatch.setattr(json_types, "_c_decode", json_types._decode)
    with pytest.raises(ValueError, match=r"\w"):
        json_types.loads(data)


@pytest.mark.parametrize(
    "text",
    [
        '{"__type__": "decimal", "__value__": "1", "x": 1}',
        '{"__type__": "decimal"}',
        '{"__value__": "1", "x": 1}',
    ],
)
def test_only_an_object_of_exactly_two_keys_is_tagged(text: str) -> None:
    assert JSON.loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"__type__":"datetime","__value__":"2026-01-02T03:04:05Z"}', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('{"__type__":"bytes","__value__":"é"}', "é".encode()),
        ('{"__type__":"base64","__value__":"/w==\\n"}', b"\xff"),
        (f'{{"__type__":"uuid","__value__":{{"hex":"{ID.hex}","version":4}}}}', ID),
        (' {"__type__":"decimal","__value__":"1"}\n', decimal.Decimal(1)),
        (" [1, 2]\n", [1, 2]),
    ],
)
def test_forms_of_other_writers_are_read(text: str, value: Any) -> None:
    assert JSON.loads(text.encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"nul",
        b"[1,]",
        b'{"a":1}x',
        b"\xff",
        b"\xef\xbb\xbf1",
        b"1" * 10_000,
        b'{"__type__":"nope","__value__":1}',
        b'{"__type__":5,"__value__":1}',
        b'{"__type__":["a"],"__value__":1}',
        b'{"__type__":"datetime","__value__":"zz"}',
        b'{"__type__":"decimal","__value__":"x"}',
        b'{"__type__":"uuid","__value__":"1"}',
        b'{"__type__":"bytes","__value__":1}',
    ],
)
def test_damaged_data_raises_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match="json"):
        JSON.loads(data)


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"a":' * 200_000, b'{"__type__":' * 200_000])
def test_a_depth_bomb_raises_a_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError, match="nested too deeply"):
        JSON.loads(data)


def test_a_cycle_raises_an_encode_error() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    with pytest.raises(EncodeError, match="nested too deeply or within itself"):
        JSON.dumps(cyclic)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, {2}], {}], r"the set at value\[0\]\[1\]: Object of type set is not JSON serializable; convert it"),
        ([[], {"when": {"x": timedelta(1)}}], r"the timedelta at value\[1\]\['when'\]\['x'\]"),
        ({"a": [{(1,): 2}]}, r"the dict at value\['a'\]\[0\]: keys must be str.*not tuple"),
        ([10**5000], r"the int at value\[0\]: Exceeds the limit"),
        (object(), "the object at value: Object of type object"),
        (int, "the type at value"),
    ],
)
def test_an_unencodable_value_is_located(value: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message):
        JSON.dumps(value)


def test_an_encoder_is_usable_after_an_error() -> None:
    shared: list[Any] = [1]
    with pytest.raises(EncodeError):
        JSON.dumps([shared, object()])
    assert JSON.dumps([shared, shared]) == b"[[1], [1]]"


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


class Tip(Money):
    pass


@pytest.fixture
def money() -> Iterator[None]:
    json_types.register_type(Money, "money", lambda value: value.cents, Money)
    yield
    json_types.unregister_type(Money)


@pytest.mark.usefixtures("money")
def test_registered_types_and_their_subclasses_are_carried() -> None:
    assert JSON.dumps([Money(5), Tip(6)]) == (
        b'[{"__type__": "money", "__value__": 5}, {"__type__": "money", "__value__": 6}]'
    )
    again = JSON.loads(JSON.dumps(Money(5)))
    assert isinstance(again, Money)
    assert again.cents == 5


def test_a_type_is_forgotten_when_unregistered(money: None) -> None:
    json_types.unregister_type(Money)
    with pytest.raises(EncodeError):
        JSON.dumps(Money(5))
    with pytest.raises(DecodeError, match="unknown type tag 'money'"):
        JSON.loads(b'{"__type__": "money", "__value__": 5}')


def test_a_subclass_of_datetime_is_written_as_a_datetime() -> None:
    class Moment(datetime):
        pass

    assert b'"datetime"' in JSON.dumps(Moment(2026, 1, 2))


def test_lazy_strings_of_django_become_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promise:
        def __str__(self) -> str:
            return "translated"

    module: Any = types.ModuleType("django.utils.functional")
    module.Promise = Promise
    monkeypatch.setitem(sys.modules, "django.utils.functional", module)
    assert JSON.dumps([Promise()]) == b'["translated"]'


def test_msgspec_is_taken_by_those_who_decode_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_types, "_values_left", 3)
    monkeypatch.setattr(json_types, "_c_decode", json_types._decode)
    for number in range(2):
        assert json_types.loads(b"%d" % number) == number
    assert json_types._c_decode is json_types._decode
    assert json_types.loads(b"2") == 2
    assert json_types._c_decode.__self__.__class__ is msgspec.json.Decoder  # type: ignore[attr-defined]
