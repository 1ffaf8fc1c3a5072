"""Groups of iterators: their tasks are read as they are sent, and are there all the same."""

from __future__ import annotations

import json
import pickle
import threading
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chain, group, signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: More than are read at once.
MANY = 1700


def adding(app: Celery, count: int, seen: list[int] | None = None) -> Iterator[Any]:
    for number in range(count):
        if seen is not None:
            seen.append(number)
        yield app.tasks["p.add"].s(number, 1)


def sent_args(messages: Any) -> list[Any]:
    return sorted((headers["group_index"], body[0]) for headers, body in messages)


def test_tasks_are_read_when_they_are_sent(app: Celery, sent: Callable[[], Any]) -> None:
    seen: list[int] = []
    whole = group(adding(app, MANY, seen))
    assert seen == [0]
    result = whole.apply_async()
    assert len(result) == MANY
    messages = sent()
    assert sent_args(messages) == [(number, [number, 1]) for number in range(MANY)]
    assert {headers["group"] for headers, _ in messages} == {result.id}
    assert {headers["id"] for headers, _ in messages} == {each.id for each in result}


def test_reading_goes_on_while_others_are_published(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    first: list[int] = []
    publish_many = app.publisher.publish_many

    def publish(publications: Any, **options: Any) -> None:
        first.append(len(seen))
        publish_many(publications, **options)

    monkeypatch.setattr(app.publisher, "publish_many", publish)
    group(adding(app, 10_000, seen)).apply_async()
    assert first[0] < 10_000


def test_it_can_be_sent_again(app: Celery, sent: Callable[[], Any]) -> None:
    whole = group(adding(app, MANY))
    whole.apply_async()
    first = sent()
    whole.apply_async()
    again = sent()
    assert sent_args(first) == sent_args(again)
    assert not {headers["id"] for headers, _ in first} & {headers["id"] for headers, _ in again}
    assert [task.args for task in whole.tasks] == [(number, 1) for number in range(MANY)]


def test_arguments_that_cannot_be_pickled_stay_as_they_are(app: Celery, sent: Callable[[], Any]) -> None:
    lock: Any = threading.Lock()

    class Number(int):
        def __reduce__(self) -> Any:
            raise TypeError(f"never pickled: {lock}")

    whole = group(app.tasks["p.add"].s(Number(number), 1) for number in range(3))
    whole.apply_async()
    assert sent_args(sent()) == [(number, [number, 1]) for number in range(3)]
    assert type(whole.tasks[0].args[0]) is Number


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda whole: len(whole), id="len"),
        pytest.param(lambda whole: len(json.loads(json.dumps(whole))["kwargs"]["tasks"]), id="json"),
        pytest.param(lambda whole: len(pickle.loads(pickle.dumps(whole)).tasks), id="pickle"),
        pytest.param(lambda whole: len(dict(whole)["kwargs"]["tasks"]), id="dict"),
        pytest.param(lambda whole: len({**whole}["kwargs"]["tasks"]), id="unpacked"),
        pytest.param(lambda whole: len(whole.get("kwargs")["tasks"]), id="get"),
        pytest.param(lambda whole: len(list(whole.values())[2]["tasks"]), id="values"),
        pytest.param(lambda whole: len(deepcopy(whole).tasks), id="deepcopy"),
        pytest.param(lambda whole: len(whole.clone().tasks), id="clone"),
        pytest.param(lambda whole: len(signature(whole).kwargs["tasks"]), id="signature"),
        pytest.param(lambda whole: len(group(whole).tasks), id="group"),
        pytest.param(lambda whole: repr(whole).count("add("), id="repr"),
        pytest.param(lambda whole: 3 if whole == group(list(whole.tasks)) else 0, id="equal"),
        pytest.param(lambda whole: len((whole | whole.app.tasks["p.add"].s(1)).tasks), id="chord"),
    ],
)
def test_looking_at_it_reads_all(app: Celery, look: Callable[[Any], int]) -> None:
    assert look(group(adding(app, 3))) == 3


def test_options_and_arguments_of_the_group_reach_all(app: Celery, sent: Callable[[], Any]) -> None:
    add = app.tasks["p.add"]
    whole = group((add.s() for _ in range(2)), priority=3)
    result = whole.apply_async((1, 2), task_id="the-group", root_id="root")
    messages = sent()
    assert result.id == "the-group"
    assert [(headers["group"], headers["root_id"], body[0]) for headers, body in messages] == [
        ("the-group", "root", [1, 2])
    ] * 2


def test_workflows_among_them(app: Celery, sent: Callable[[], Any]) -> None:
    add = app.tasks["p.add"]
    members = [add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), chain(), chain(add.s(4, 4), add.s(5))]
    result = group(iter(members)).apply_async()
    assert len(result) == 4
    assert sorted(body[0] for _, body in sent()) == [[1, 1], [2, 2], [3, 3], [4, 4]]


@pytest.mark.parametrize("empty", [[], iter([]), filter(None, [])])
def test_none_at_all(app: Celery, empty: Any) -> None:
    whole = group(empty, app=app)
    assert not whole
    assert list(whole.apply_async()) == []


def test_what_the_iterator_raises_comes_out(app: Celery) -> None:
    def broken() -> Iterator[Any]:
        yield app.tasks["p.add"].s(1, 1)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        group(broken()).apply_async()


def test_members_are_not_changed_by_sending(app: Celery, sent: Callable[[], Any]) -> None:
    members = [app.tasks["p.add"].s(number, 1) for number in range(3)]
    group(iter(members)).apply_async()
    assert [member.options for member in members] == [{}, {}, {}]
