"""Groups; forms and results as observed from Celery 5.7."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chain, group, signature
from celeriac.result import GroupResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Signature
    from tests.unit.canvas.conftest import Sent


@pytest.fixture
def s(app: Celery) -> Callable[..., Signature]:
    """Signatures of ``p.add``."""
    return app.tasks["p.add"].s


@pytest.fixture
def two(s: Any) -> Any:
    return group(s(1, 1), s(2, 2))


def test_constructor_takes_signatures_iterables_and_groups(s: Any, two: Any) -> None:
    assert repr(two) == "group((p.add(1, 1), add(2, 2)))"
    assert repr(group(each for each in (s(1, 1), s(2, 2)))) == repr(two)
    assert repr(group(two)) == repr(two)
    assert repr(group(s(1, 1))) == "group([p.add(1, 1)])"
    assert repr(group([])) == repr(group()) == "group(<empty>)"
    assert repr(group(dict(s(1, 1)))) == "group([p.add(1, 1)])"
    assert (len(two), bool(two), bool(group())) == (2, True, False)


def test_serialized_form(s: Any, two: Any) -> None:
    step: dict[str, Any] = {"task": "p.add", "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
    assert json.loads(json.dumps(two)) == {
        "task": "celery.group",
        "args": [],
        "kwargs": {"tasks": [{**step, "args": [1, 1]}, {**step, "args": [2, 2]}]},
        "options": {},
        "subtask_type": "group",
        "immutable": False,
    }
    for again in (signature(json.loads(json.dumps(two))), pickle.loads(pickle.dumps(two))):
        assert isinstance(again, group)
        assert json.dumps(again) == json.dumps(two)


def test_tasks_are_sent_with_group_and_index(two: Any, sent: Callable[[], Sent]) -> None:
    result = two.apply_async()
    assert isinstance(result, GroupResult)
    found = sorted((headers["group_index"], headers["id"], body[0]) for headers, body in sent())
    assert found == [(0, result[0].id, [1, 1]), (1, result[1].id, [2, 2])]


def test_group_id_can_be_chosen(two: Any, sent: Callable[[], Sent]) -> None:
    assert two.apply_async(task_id="chosen").id == "chosen"
    assert {headers["group"] for headers, _ in sent()} == {"chosen"}


def test_arguments_and_options_are_those_of_every_task(s: Any, sent: Callable[[], Sent]) -> None:
    group(s(1), s(2)).set(shadow="both").apply_async((5,), {"z": 0}, expires=60)
    found = sorted(sent(), key=lambda each: each[0]["group_index"])
    assert [body[:2] for _, body in found] == [[[5, 1], {"z": 0}], [[5, 2], {"z": 0}]]
    assert all(headers["shadow"] == "both" and headers["expires"] for headers, _ in found)


def test_calling_it_sends_it(s: Any, sent: Callable[[], Sent]) -> None:
    group(s(1), s(2))(5)
    group(s(3)).delay(6)
    assert sorted(body[0] for _, body in sent()) == [[5, 1], [5, 2], [6, 3]]


def test_sending_twice_makes_two_groups(two: Any) -> None:
    assert two.delay().id != two.delay().id
    assert "task_id" not in json.dumps(two)


def test_frozen_group_is_sent_with_its_ids(two: Any, sent: Callable[[], Sent]) -> None:
    frozen = two.freeze()
    assert two.id == frozen.id
    assert two.apply_async().as_tuple() == frozen.as_tuple()
    assert {headers["id"] for headers, _ in sent()} == {each.id for each in frozen}


def test_empty_group_has_an_empty_result(app: Celery, sent: Callable[[], Sent]) -> None:
    result = group([], app=app).apply_async()
    assert isinstance(result, GroupResult)
    assert (result.results, result.get(), sent()) == ([], [], [])


def test_groups_in_it_become_part_of_it(s: Any, two: Any, sent: Callable[[], Sent]) -> None:
    inner = group(s(5), s(6)).clone((4,)).set(shadow="inner")
    result = group(two, s(3, 3), inner, chain(app=two.app)).apply_async()
    found = sorted((headers["group_index"], body[0], headers["shadow"]) for headers, body in sent())
    assert found == [
        (0, [1, 1], None), (1, [2, 2], None), (2, [3, 3], None), (3, [4, 5], "inner"), (4, [4, 6], "inner"),
    ]  # fmt: skip
    assert len(result) == 5


def test_chains_in_it_belong_to_it_with_their_last_task(s: Any, sent: Callable[[], Sent]) -> None:
    result = group(s(1, 1) | s(2), s(3, 3)).apply_async((), {}, shadow="x")
    (one, body), (other, _) = sorted(sent(), key=lambda each: bool(each[0]["group"]))
    (last,) = body[2]["chain"]
    assert (one["group"], one["shadow"], last["options"].get("shadow")) == (None, "x", None)
    assert (last["options"]["group_id"], last["options"]["group_index"]) == (result.id, 0)
    assert (last["options"]["task_id"], other["group_index"]) == (result[0].id, 1)


def test_group_with_one_chain_that_ends_in_a_group_is_that_group(s: Any, two: Any) -> None:
    assert len(group(s(1, 1) | two).freeze()) == 2


def test_links_with_a_call_are_refused(s: Any, two: Any) -> None:
    with pytest.raises(TypeError, match=r"use group.link\("):
        two.apply_async(link=s(1))
    with pytest.raises(TypeError, match=r"use group.link_error\("):
        two.apply_async(link_error=s(1))


def test_links_of_a_group_are_those_of_its_tasks(s: Any, two: Any) -> None:
    two.link(s(8, 8))
    two.link_error(s(9, 9))
    first, second = two.tasks
    assert first.options == {"link": [s(8, 8).set(immutable=True)], "link_error": [s(9, 9)]}
    assert second.options == {"link_error": [s(9, 9)]}


def test_immutability_is_that_of_its_tasks(s: Any, sent: Callable[[], Sent]) -> None:
    both = group(s(1), s(2))
    both.set_immutable(True)
    both.delay(5)
    assert sorted(body[0] for _, body in sent()) == [[1], [2]]


def test_skew_spreads_the_starts(s: Any) -> None:
    spread = group(s(i) for i in range(5)).skew(start=1, stop=3)
    assert [each.options["countdown"] for each in spread.tasks] == [1.0, 2.0, 3.0, 3.0, 3.0]


def test_a_class_that_sends_differently_is_asked(app: Celery, sent: Callable[[], Sent]) -> None:
    class Tagging(app.Task):  # type: ignore[name-defined, misc]
        def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
            return super().apply_async(args, kwargs, **{**options, "shadow": "tagged"})

    @app.task(name="p.tagged", base=Tagging, shared=False)
    def tagged(x: Any) -> Any:
        return x

    result = group(tagged.s(1), app.tasks["p.add"].s(2, 2)).apply_async()
    found = sorted((headers["group_index"], headers["id"], headers["shadow"]) for headers, _ in sent())
    assert found == [(0, result[0].id, "tagged"), (1, result[1].id, None)]


def test_ten_thousand_tasks_are_sent_at_once(app: Celery, s: Any, sent: Callable[[], Sent]) -> None:
    result = group(s(i, i) for i in range(10_000)).apply_async()
    assert len(result) == 10_000
    assert {headers["id"] for headers, _ in sent()} == {each.id for each in result}


def test_eager_group(app: Celery, s: Any, two: Any) -> None:
    result = two.apply()
    assert isinstance(result, GroupResult)
    assert (result.get(), result.successful(), result.completed_count()) == ([2, 4], True, 2)
    assert group(s(1), s(2)).apply((5,)).get() == [6, 7]
    app.conf.task_always_eager = True
    assert two.delay().get() == [2, 4]
    assert group([], app=app).delay().get() == []
    assert group(two, s(3, 3) | s(1)).delay().get() == [2, 4, 7]


def test_eager_group_with_a_failure(app: Celery, s: Any) -> None:
    result = group(s(1, 1), app.tasks["p.fail"].s()).apply()
    assert (result.failed(), result.successful()) == (True, False)
    with pytest.raises(ValueError, match="on purpose"):
        result.get()


def test_nested_results_are_joined_in_order(app: Celery) -> None:
    from celeriac.backend.base import ResultRecord

    results = {name: app.AsyncResult(name) for name in "abc"}
    whole = GroupResult("g", [results["a"], GroupResult("h", [results["b"], results["c"]], app=app)], app=app)
    assert not whole.ready()
    app.backend.store_many([ResultRecord(name, "SUCCESS", name.upper()) for name in "cba"])
    assert whole.get(timeout=1) == ["A", ["B", "C"]]
    assert whole.ready()
    assert {key: meta["result"] for key, meta in whole.iter_native()} == {"a": "A", "b": "B", "c": "C"}
    whole.save()
    restored = app.GroupResult.restore("g", app=app)
    assert restored.as_tuple() == whole.as_tuple()
    whole.delete()
    assert app.GroupResult.restore("g", app=app) is None
