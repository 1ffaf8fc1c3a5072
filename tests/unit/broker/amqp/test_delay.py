"""Routes of delayed messages."""

from __future__ import annotations

import pytest

from celeriac.broker.amqp.delay import (
    LEVELS,
    MAX_DELAY,
    delay_route,
    forward_name,
    level_name,
    queue_word,
    whole_seconds,
)
from celeriac.broker.topology import topic_pattern_matches


@pytest.mark.parametrize(
    ("due", "expected"), [(99, 0), (100, 0), (100.9, 0), (101, 1), (101.99, 1), (160.5, 60), (10**12, MAX_DELAY)]
)
def test_delays_are_rounded_down(due: float, expected: int) -> None:
    assert whole_seconds(due, 100.0) == expected


@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 1023, 1024, MAX_DELAY])
def test_a_route_waits_as_long_as_its_bits_say(seconds: int) -> None:
    exchange, routing_key = delay_route(seconds, "word")
    waited, level = 0, next(n for n in range(LEVELS) if level_name(n) == exchange)
    while level >= 0:
        before = "*." * (LEVELS - 1 - level)
        if topic_pattern_matches(f"{before}1.#", routing_key):
            waited += 1 << level
        else:
            assert topic_pattern_matches(f"{before}0.#", routing_key)
        level -= 1
    assert waited == seconds
    assert topic_pattern_matches("#.word", routing_key)


@pytest.mark.parametrize("name", ["celery", "a.b.c", "with*star", "with#hash", "100%", "č-漢" * 20, "x" * 255])
def test_words_are_one_word_and_fit_a_routing_key(name: str) -> None:
    word = queue_word(name)
    assert not set(word) & set(".*#")
    assert len(delay_route(1, word)[1].encode()) <= 255


def test_words_differ_for_names_that_look_alike() -> None:
    names = ["a.b", "a%2Eb", "b", "x" * 254, "x" * 255]
    assert len({queue_word(name) for name in names}) == len(names)
    assert forward_name("a", "b.c") != forward_name("a.b", "c")
    assert queue_word("a:b") != forward_name("a", "b")
