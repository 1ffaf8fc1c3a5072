from __future__ import annotations

import pickle
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.compat import local, platforms, state
from celeriac.compat.defaults import DEFAULTS, NAMESPACES, find, flatten
from celeriac.compat.utils import (
    collections,
    deprecated,
    functional,
    imports,
    log,
    objects,
    serialization,
    text,
    threads,
)
from celeriac.compat.utils import time as times
from celeriac.exceptions import CDeprecationWarning

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_cache_forgets_what_was_not_used_for_longest() -> None:
    cache = functional.LRUCache(limit=2)
    cache["a"], cache["b"] = 1, 2
    assert cache["a"] == 1
    cache["c"] = 3
    assert list(cache) == ["a", "c"]
    assert cache.incr("a") == 2
    assert dict(pickle.loads(pickle.dumps(cache))) == {"c": 3, "a": 2}


def test_memoize_calls_once_for_the_same_arguments() -> None:
    calls: list[int] = []

    @functional.memoize(maxsize=10)
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    assert [double(2), double(2), double(3)] == [4, 4, 6]
    assert calls == [2, 3]
    assert (double.hits, double.misses) == (1, 2)


def test_a_lazy_list_reads_what_is_needed() -> None:
    read: list[int] = []

    def give() -> Iterator[int]:
        for number in range(3):
            read.append(number)
            yield number

    numbers: Any = functional.regen(give())
    assert next(iter(numbers)) == 0
    assert read == [0]
    assert numbers[1] == 1 and len(numbers) == 3
    assert list(numbers) == [0, 1, 2]
    same: Any = [1]
    assert functional.regen(same) is same


def test_small_functions() -> None:
    assert list(functional.chunks(iter(range(5)), 2)) == [[0, 1], [2, 3], [4]]
    assert functional.maybe_list("a") == ["a"] and functional.maybe_list([1]) == [1]
    assert functional.first(None, [None, 0, 1]) == 0
    assert functional.first(lambda n: n > 1, [1, 2]) == 2
    assert functional.padlist([1], 3, 0) == [1, 0, 0]
    assert functional.dictfilter({"a": None}, b=1) == {"b": 1}
    assert list(functional.uniq([1, 2, 1])) == [1, 2]
    assert functional.fun_accepts_kwargs(lambda **_: None)
    assert not functional.fun_accepts_kwargs(lambda x: None)
    with pytest.raises(TypeError):
        functional.head_from_fun(lambda x: None)(1, 2)
    once = functional.mlazy(iter([1, 2]).__next__)
    assert [once(), once()] == [1, 1]


def test_a_proxy_stands_for_what_is_looked_up() -> None:
    proxy: Any = local.Proxy(lambda: [1, 2])
    assert proxy == [1, 2] and len(proxy) == 2 and proxy[0] == 1 and isinstance(proxy, list)
    asked: list[int] = []

    def ask() -> dict[str, int]:
        asked.append(1)
        return {"a": 1}

    promise: Any = local.PromiseProxy(ask)
    told: list[str] = []
    promise.__then__(told.append, "done")
    assert not promise.__evaluated__()
    assert promise["a"] == 1 and "a" in promise and promise.__evaluated__()
    assert (asked, told) == ([1], ["done"])
    assert local.maybe_evaluate(promise) == {"a": 1}
    assert local.try_import("there_is_no_such_module") is None


def test_a_limited_set_forgets_the_oldest() -> None:
    members = collections.LimitedSet(maxlen=2)
    for at, item in enumerate("abc"):
        members.add(item, now=at + 1.0)
    assert list(members) == ["b", "c"] and "a" not in members
    aging = collections.LimitedSet(expires=10)
    aging.add("old", now=1.0)
    aging.add("new", now=100.0)
    aging.purge(now=105.0)
    assert list(aging) == ["new"] and aging.pop() == "new" and aging.pop("none") == "none"


def test_attributes_are_items_and_items_attributes() -> None:
    attributes = collections.AttributeDict(a=1)
    attributes.b = 2
    assert (attributes.a, attributes["b"]) == (1, 2)
    with pytest.raises(AttributeError):
        _ = attributes.c
    viewed = collections.force_mapping(objects.Bunch(x=1))
    assert viewed["x"] == 1 and viewed.get("y") is None
    assert collections.lpmerge({"a": 1}, {"a": None, "b": 2}) == {"a": 1, "b": 2}


def test_levels_and_loggers() -> None:
    assert log.mlevel("info") == log.mlevel(20) == 20
    assert log.LOG_LEVELS[30] == "WARNING"
    assert log.logger_isa(log.get_task_logger("some.task"), log.task_logger)


def test_booleans_from_words() -> None:
    assert serialization.strtobool("Yes") is True and serialization.strtobool("off") is False
    with pytest.raises(TypeError, match="'maybe' means neither"):
        serialization.strtobool("maybe")


def test_exceptions_that_cannot_be_pickled_come_back_by_name() -> None:
    class Odd(Exception):
        def __init__(self, needed: int, also: int) -> None:
            super().__init__(needed)

    packed = serialization.get_pickleable_exception(Odd(1, 2))
    assert "Odd" in repr(serialization.get_pickled_exception(pickle.loads(pickle.dumps(packed))))


def test_texts() -> None:
    assert text.abbr("abcdefgh", 5) == "ab..." and text.abbr(None, 5) == "???"
    assert len(text.abbrtask("some.long.module.task", 12)) <= 12
    assert text.truncate("one two three", 9) == "one two..."
    assert text.pluralize(2, "task") == "tasks" and text.pluralize(1, "task") == "task"
    assert text.simple_format("%a is 5%%", {"a": lambda: "it"}) == "it is 5%"
    with pytest.raises(ValueError, match="unknown format %z"):
        text.simple_format("%z", {"a": "b"})


def test_stacks_are_of_one_thread() -> None:
    stack = threads.LocalStack()
    stack.push(1)
    stack.push(2)
    assert (stack.top, len(stack), stack.pop(), stack.pop(), stack.pop()) == (2, 2, 2, 1, None)


def test_times() -> None:
    start = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert times.remaining(start, timedelta(hours=1), now=start) == timedelta(hours=1)
    assert times.remaining(start, timedelta(hours=1), now=start, relative=True) == timedelta(minutes=53, seconds=53)
    assert times.weekday("Sunday") == 0
    with pytest.raises(KeyError):
        times.weekday("someday")
    assert times.timezone.to_local(start, "Europe/Berlin").hour == 6
    assert times.get_exponential_backoff_interval(2, 3, 100) == 16


def test_modules_are_found() -> None:
    assert imports.find_module("json.decoder").__name__ == "json.decoder"
    with pytest.raises(imports.NotAPackage):
        imports.find_module("json.decoder.nothing")


def test_old_names_warn() -> None:
    @deprecated.Callable(deprecation="1.0", removal="2.0", alternative="Use new.")
    def old() -> int:
        return 1

    with pytest.warns(CDeprecationWarning, match=r"old is scheduled for removal in version 2\.0\. Use new\."):
        assert old() == 1


def test_signals_by_name() -> None:
    before = platforms.signals["USR2"]
    platforms.signals.ignore("USR2", "SIGNOTHING")
    try:
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
    finally:
        platforms.signals["SIGUSR2"] = before
    assert platforms.signal_name(signal.SIGTERM) == "TERM"
    with platforms.ignore_errno("ENOENT"):
        Path("/there/is/no/such/file").read_text()
    with pytest.raises(PermissionError), platforms.ignore_errno("ENOENT"):
        raise PermissionError(13, "no")


def test_defaults_are_celerys() -> None:
    assert DEFAULTS["task_acks_late"] is False
    assert find("task_acks_late").option.name == "task_acks_late"
    assert dict(flatten({"task": {"a": 1}, "b": 2})) == {"task_a": 1, "b": 2}
    assert NAMESPACES["task"]["acks_late"].name == "task_acks_late"


def test_answers_of_nodes_become_one_mapping() -> None:
    assert state.flatten_reply([{"a": 1}, {"b": 2}]) == {"a": 1, "b": 2}
    assert state.group_from("task-sent") == "task"
    assert "prefork" in state.get_available_pool_names()
