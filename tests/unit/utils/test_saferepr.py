"""The bounded repr; expected values were observed with Celery 5.7.0 unless the name says otherwise."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.utils.saferepr import saferepr


class Words:
    def __repr__(self) -> str:
        return "one two three four five"


class Short:
    def __repr__(self) -> str:
        return "<O obj>"


class Unrepresentable:
    def __repr__(self) -> str:
        raise ValueError("no")


class OddRepr(list[int]):
    def __repr__(self) -> str:
        return "odd"


class NamedSet(set[int]):
    pass


class Number(enum.Enum):
    ONE = 1


Point = collections.namedtuple("Point", "x y")

WHOLE: list[tuple[Any, str]] = [
    ((), "()"),
    ((1,), "(1,)"),
    ((2, 3), "(2, 3)"),
    ({}, "{}"),
    ({"y": 3}, "{'y': 3}"),
    ({"y": 3, "x": "a"}, "{'y': 3, 'x': 'a'}"),
    ([], "[]"),
    (set(), "set()"),
    ({1, 2}, "{1, 2}"),
    (frozenset({1}), "frozenset({1})"),
    (frozenset(), "frozenset()"),
    (NamedSet([1]), "NamedSet({1})"),
    (NamedSet(), "NamedSet()"),
    ("plain", "'plain'"),
    ("it's", "'it\\'s'"),
    ('a"b', "'a\"b'"),
    ("new\nline", "'new\nline'"),
    ("é\u2028", "'é\u2028'"),
    ("back\\slash", "'back\\slash'"),
    (("it's", 1), "('it\\'s', 1)"),
    (b"abc", "b'abc'"),
    (b"it's", "b'it's'"),
    ("é".encode(), "b'é'"),
    (b"\xff\x00\n", "b'ff000a'"),
    (bytearray(b"ab"), "bytearray(b'ab')"),
    ((1, 1.5, True, None, 1e300, 1j), "(1, 1.5, True, None, 1e+300, 1j)"),
    (decimal.Decimal("1.5"), "Decimal('1.5')"),
    (
        (datetime.datetime(2026, 1, 2), datetime.timedelta(1)),
        "(datetime.datetime(2026, 1, 2, 0, 0), datetime.timedelta(days=1))",
    ),
    (Number.ONE, "<Number.ONE: 1>"),
    (Point(1, 2), "(1, 2)"),
    (OddRepr([1]), "[1]"),
    (collections.OrderedDict(a=1), "{'a': 1}"),
    (collections.deque([1]), "deque([1])"),
    ({1: 2, (1, 2): 3, None: [1], "s": b"x"}, "{1: 2, (1, 2): 3, None: [1], 's': b'x'}"),
    ([[1]] * 3, "[[1], [1], [1]]"),
    ((Short(),), "(<O obj>,)"),
]

LEVELS: list[tuple[Any, int, str]] = [
    ([[[[[1]]]]], 3, "[[[[...]]]]"),
    (((((1,),),),), 3, "((((...,),),),)"),
    ({"a": {"b": {"c": {"d": 1}}}}, 3, "{'a': {'b': {'c': {...}}}}"),
    (({"a": [{"b": (1,)}]},), 3, "({'a': [{...}]},)"),
    ([[[[1], {1: 1}, (1,), {1}]]], 3, "[[[[...], {...}, (...,), {...}]]]"),
    ([[[[]]]], 3, "[[[[...]]]]"),
    ([[[set()]]], 3, "[[[set()]]]"),
    ([[[frozenset({1})]]], 3, "[[[frozenset({...})]]]"),
    ([{((1,),): 2}], 1, "[{...}]"),
    ({((1,),): 2}, 1, "{((...,),): 2}"),
    ([[[[[1]]]]], 1, "[[...]]"),
    ([[[[[1]]]]], 0, "[[[[[1]]]]]"),
]

CUT: list[tuple[Any, int, str]] = [
    (tuple(range(12)), 0, ", ..."),
    (tuple(range(12)), 1, "(, ...)"),
    (tuple(range(12)), 2, "(0..., ...)"),
    (tuple(range(12)), 9, "(0, 1, 2, , ...)"),
    (list(range(12)), 12, "[0, 1, 2, 3, , ...]"),
    (list(range(12)), 38, "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"),
    ({f"key{n}": n for n in range(4)}, 5, "{'key0...', ...}"),
    ({f"key{n}": n for n in range(4)}, 8, "{'key0': , ...}"),
    ({f"key{n}": n for n in range(4)}, 40, "{'key0': 0, 'key1': 1, 'key2': 2, 'key3', ...}"),
    ("x" * 50, 5, "'xxxxx...'"),
    (("x" * 50,), 5, "('xxxx...',)"),
    ((b"x" * 50,), 5, "(b'xxxx...',)"),
    ({"k": "x" * 50}, 5, "{'k': , ...}"),
    ({"k": "x" * 50}, 8, "{'k': 'xx...'}"),
    ([["abc", "def"], ["ghi", "jkl"]], 5, "[['abc...', ...]]"),
    ([["abc", "def"], ["ghi", "jkl"]], 16, "[['abc', 'def'], , ...]"),
    ([["abc", "def"], ["ghi", "jkl"]], 28, "[['abc', 'def'], ['ghi', 'jkl...']]"),
    ((Short(), Short(), Short()), 8, "(<O..., , ...)"),
    (Words(), 7, "one..."),
    (Words(), 8, "one two..."),
    ({"a": Words()}, 14, "{'a': one two...}"),
    ("hello world foo bar baz", 23, "'hello world foo bar...'"),
    ("hello world foo bar baz", 24, "'hello world foo bar baz'"),
    (b"hello wor foo bar", 16, "b'hello wor foo ba...'"),
    (b"hello wor foo bar", 17, "b'hello wor foo bar'"),
    (["it's", "a"], 5, "['it\\'s...', ...]"),
    ([set(), set(), set()], 6, "[set()..., ...]"),
    ([{}, {}, {}], 6, "[{}, {}, ...]"),
    ({(1, 2): ()}, 4, "{(1, , ...), ...}"),
    ([[[[1], 2], 3], 4], 8, "[[[[...], ...]]]"),
    ([[[[1], 2], 3], 4], 15, "[[[[...], 2], 3...], ...]"),
    (frozenset({"ab"}), 13, "frozenset({'ab...'})"),
    (123456789012345678901234567890, 5, "12345..."),
]

LEAVES = st.one_of(st.integers(), st.floats(), st.text(max_size=40), st.binary(max_size=40), st.none(), st.booleans())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=30,
)


@pytest.mark.parametrize(("value", "text"), WHOLE)
def test_values_are_shown_as_celery_shows_them(value: Any, text: str) -> None:
    assert saferepr(value) == text
    assert saferepr(value, maxlen=1024) == text


@pytest.mark.parametrize(("value", "levels", "text"), LEVELS)
def test_deep_containers_are_elided(value: Any, levels: int, text: str) -> None:
    assert saferepr(value, maxlevels=levels) == text


@pytest.mark.parametrize(("value", "maxlen", "text"), CUT)
def test_long_values_are_cut(value: Any, maxlen: int, text: str) -> None:
    assert saferepr(value, maxlen=maxlen) == text


def test_cycles_are_named() -> None:
    cyclic: list[Any] = [1]
    cyclic.append({"k": cyclic})
    assert saferepr(cyclic) == f"[1, {{'k': <Recursion on list with id={id(cyclic)}>}}]"


def test_a_broken_repr_is_described() -> None:
    broken = Unrepresentable()
    text = saferepr((broken, 1))
    assert text == f"(<Unrepresentable {Unrepresentable!r}{id(broken):#x}: ValueError('no')>, 1)"


def test_an_int_too_long_to_print_is_described() -> None:
    assert "Exceeds the limit" in saferepr((10**5000,))


def test_a_container_that_fails_to_iterate_is_described() -> None:
    class Broken(list[int]):
        def __iter__(self) -> Any:
            raise RuntimeError("changed")

    assert "RuntimeError('changed')" in saferepr(Broken([1]))


def test_depth_beyond_the_stack_is_elided_without_a_limit() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert saferepr(deep, maxlevels=0).startswith("[[[")


def test_a_huge_argument_is_not_rendered_whole() -> None:
    text = saferepr(("x" * 10_000_000, [1] * 1_000_000), maxlen=1024)
    assert len(text) < 1100


@given(TREES, st.integers(0, 200), st.integers(0, 4))
def test_any_value_has_a_bounded_text(value: Any, maxlen: int, levels: int) -> None:
    text = saferepr(value, maxlen=maxlen, maxlevels=levels)
    # Above the limit: what closes the brackets, one last token's marks, and its escaped quotes.
    assert len(text) <= 2 * maxlen + 200


@given(st.lists(st.one_of(st.integers(), st.text(max_size=20), st.none()), max_size=8).map(tuple))
def test_the_fast_path_agrees_with_the_slow_one(value: tuple[Any, ...]) -> None:
    class Same(tuple[Any, ...]):
        """Not an exact tuple: takes the slow path."""

    assert saferepr(value, 1024) == saferepr(Same(value), 1024)
    assert saferepr(dict(enumerate(value)), 1024) == saferepr(collections.OrderedDict(enumerate(value)), 1024)
