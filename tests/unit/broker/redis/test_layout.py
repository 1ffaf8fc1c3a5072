"""Keys of kombu's Redis transport."""

from __future__ import annotations

import pytest

from celeriac.broker.redis.layout import Layout, topic_regex
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("", "^$"), ("a", "^a$"), ("a.#", r"^a\..*?$"), ("*.b.c", r"^[^\.]+\.b\.c$"), ("#", "^.*?$"),
        ("a.*.c", r"^a\.[^\.]+\.c$"),
    ],
)  # fmt: skip
def test_topic_patterns_are_those_of_kombu(key: str, expected: str) -> None:
    assert topic_regex(key) == expected


def test_lists_of_a_queue() -> None:
    assert Layout().lists("q") == ["q", "q\x06\x163", "q\x06\x166", "q\x06\x169"]
    custom = Layout.from_options({"global_keyprefix": "app:", "sep": ":", "priority_steps": [0, 5]}, db=0)
    assert custom.lists("q") == ["app:q", "app:q:5"]


@pytest.mark.parametrize(
    ("priority", "suffix"), [(0, ""), (1, ""), (3, "3"), (5, "3"), (6, "6"), (9, "9"), (200, "9"), (-1, "")]
)
def test_a_priority_goes_to_the_largest_step_below_it(priority: int, suffix: str) -> None:
    assert Layout(separator="").suffix(priority) == suffix


def test_channels() -> None:
    layout = Layout.from_options({}, db=5)
    assert layout.channel("celery.pidbox", "") == "/5.celery.pidbox"
    assert layout.channel("celeryev", "task.sent") == "/5.celeryev/task.sent"
    assert layout.channel_pattern("celeryev", "task.#") == "/5.celeryev/task.*"
    plain = Layout.from_options({"fanout_prefix": False, "fanout_patterns": False}, db=5)
    assert plain.channel("ex", "key") == "ex"
    assert (
        Layout.from_options({"fanout_prefix": "<{db}>", "global_keyprefix": "p_"}, db=5).channel("ex", "") == "p_<5>ex"
    )


def test_every_key_has_the_prefix() -> None:
    layout = Layout.from_options({"global_keyprefix": "p:"}, db=0)
    keys = [
        layout.unacked, layout.unacked_index, layout.sessions, layout.session_prefix, layout.malformed,
        layout.deliveries, layout.delayed("q"), layout.dead, layout.exchanges, layout.bindings("e"),
        layout.permanent_bindings("e"), layout.binding_deadlines, *layout.lists("q"),
    ]  # fmt: skip
    assert all(key.startswith("p:") for key in keys)
    assert len(set(keys)) == len(keys)


def test_bad_priority_steps_are_refused() -> None:
    with pytest.raises(ImproperlyConfigured):
        Layout.from_options({"priority_steps": ["high"]}, db=0)
