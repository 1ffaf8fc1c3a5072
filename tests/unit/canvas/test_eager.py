"""Workflows in eager mode come to what they come to in workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chord, group, signature
from celeriac.current import current_apps, restore_apps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def calls(app: Celery) -> list[Any]:
    """What ``p.note`` and ``p.errback`` were called with."""
    app.conf.task_always_eager = True
    seen: list[Any] = []

    @app.task(name="p.note", shared=False)
    def note(value: Any) -> Any:
        seen.append(value)
        return value

    @app.task(name="p.errback", shared=False)
    def errback(task_id: str) -> None:
        seen.append("errback")

    @app.task(name="p.replaced", bind=True, shared=False)
    def replaced(self: Any, by: Any) -> Any:
        return self.replace(app.signature(by))

    return seen


@pytest.fixture
def s(app: Celery, calls: list[Any]) -> Callable[..., Any]:
    return lambda name, *args: app.tasks[f"p.{name}"].s(*args)


def test_replacement_by_any_workflow(s: Any) -> None:
    assert s("replaced", s("add", 1, 1)).delay().get() == 2
    assert s("replaced", s("add", 1, 1) | s("add", 5)).delay().get() == 7
    assert s("replaced", group(s("add", 1, 1), s("add", 2, 2))).delay().get() == [2, 4]
    assert s("replaced", s("replaced", s("add", 1, 1))).apply().get() == 2


def test_links_of_a_replaced_task_run_once(s: Any, calls: list[Any]) -> None:
    linked = s("replaced", s("add", 1, 1))
    linked.link(s("note"))
    assert linked.delay().get() == 2
    assert s("replaced", s("fail")).on_error(s("errback")).delay().state == "FAILURE"
    assert calls == [2, "errback"]


def test_a_link_that_fails_is_not_the_failure_of_its_task(app: Celery, s: Any) -> None:
    linked = s("add", 1, 1)
    linked.link(s("fail") | s("add", 1))
    assert linked.delay().get() == 2
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="on purpose"):
        linked.delay()


def test_group_whose_only_task_ends_in_a_group_is_that(s: Any) -> None:
    ends = s("add", 1, 1) | group(s("add", 1), s("add", 2))
    assert group(ends).delay().get() == [3, 4]
    assert chord([ends], s("note")).delay().get() == [[3, 4]]


def test_links_from_the_wire_are_of_the_app(app: Celery, s: Any, calls: list[Any]) -> None:
    linked = s("add", 1, 1)
    linked.link(dict(chord([dict(s("add", 1))], dict(s("note")))))
    assert signature(dict(linked), app=app).delay().get() == 2
    assert calls == [[3]]


@pytest.fixture
def other_app_current() -> Iterator[None]:
    """An app without tasks is the current one."""
    before = current_apps()
    restore_apps(None, Celery("other", set_as_current=False))
    yield
    restore_apps(*before)


def test_chord_from_the_wire_that_is_linked_is_of_the_app(
    app: Celery, s: Any, calls: list[Any], other_app_current: None
) -> None:
    whole = s("add", 1, 1) | group(s("add", 1), s("add", 2))
    whole.link(chord([s("add", 3, 3)], s("note")))
    assert app.signature(json.loads(json.dumps(whole))).delay().get() == [3, 4]
    assert calls == [[6]]
