"""Chains and the operator ``|``; forms and results as observed from Celery 5.7."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chain, chord, group, maybe_signature, signature
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
    return group(s(1), s(2))


# ---------------------------------------------------------------------------------------------- the operator


def test_tasks_and_chains_are_joined_flat(s: Any) -> None:
    pair = s(1, 1) | s(2)
    assert repr(pair) == "p.add(1, 1) | add(2)"
    assert isinstance(pair, chain)
    assert repr(s(0, 0) | pair) == "p.add(0, 0) | add(1, 1) | add(2)"
    assert repr(pair | s(3)) == "p.add(1, 1) | add(2) | add(3)"
    assert repr(pair | pair) == "p.add(1, 1) | add(2) | add(1, 1) | add(2)"
    pair |= s(9)
    assert repr(pair) == "p.add(1, 1) | add(2) | add(9)"


def test_groups_at_the_end_stay_and_those_of_one_task_are_unrolled(s: Any, two: Any) -> None:
    one, none = group([s(7)]), group([])
    assert repr(s(1, 1) | two) == "p.add(1, 1) | group((add(1), add(2)))"
    assert repr(s(1, 1) | one) == "p.add(1, 1) | add(7)"
    assert repr(s(1, 1) | none) == "p.add(1, 1) | group(<empty>)"
    pair = s(1, 1) | s(2)
    assert repr(pair | two) == "p.add(1, 1) | add(2) | group((add(1), add(2)))"
    assert repr(pair | one) == "p.add(1, 1) | add(2) | add(7)"
    assert repr(pair | none) == "p.add(1, 1) | add(2)"
    assert repr(chain() | two) == repr(two)
    assert repr(two | none) == repr(two)
    assert repr((s(1, 1) | none) | s(2)) == "p.add(1, 1) | add(2)"


def test_operands_are_not_changed(s: Any, two: Any) -> None:
    left, right = s(1, 1), s(2) | two
    joined = left | right
    joined.tasks[0].set(queue="other")
    joined.tasks[-1].tasks[0].set(queue="other")
    assert "other" not in json.dumps([left, right, two])


def test_links_of_a_chain_move_to_its_tasks(s: Any) -> None:
    pair = s(1, 1) | s(2)
    pair.link(s(8))
    pair.link_error(s(9))
    first, second, third = (pair | s(3)).tasks
    assert (first.options, third.options) == ({"link_error": [s(9)]}, {})
    assert second.options == {"link": [s(8)], "link_error": [s(9)]}


@pytest.mark.parametrize("allowed", [False, True])
def test_errbacks_of_a_chain_are_not_those_of_headers_in_it(app: Celery, s: Any, two: Any, allowed: bool) -> None:
    app.conf.task_allow_error_cb_on_chord_header = allowed
    for second, third in ((two, group(s(3))), (chord([s(5)], two), chord([s(6)], s(7)))):
        whole = chain.of([s(1, 1), second, third], app).on_error(s(9))
        steps: list[Any] = whole.unchain_tasks()
        first, header, last = steps
        members = header.tasks if second is two else header.body.tasks
        (end,) = last.tasks if second is two else [last.body]
        assert first.options == end.options == {"link_error": [s(9)]}
        assert [each.options.get("link_error") for each in members] == [[s(9)] if allowed else None] * 2


# ---------------------------------------------------------------------------------------------- construction


def test_constructor_joins_its_arguments(s: Any) -> None:
    assert repr(chain(s(1, 1), s(2) | s(3), s(4))) == "p.add(1, 1) | add(2) | add(3) | add(4)"
    assert repr(chain(each for each in (s(1, 1), s(2)))) == "p.add(1, 1) | add(2)"
    assert repr(chain([s(1, 1)])) == repr(chain(s(1, 1))) == "p.add(1, 1)"
    assert repr(chain(group([s(1, 1)]), s(2))) == "p.add(1, 1) | add(2)"
    assert repr(chain([dict(s(1, 1)), dict(s(2))])) == "p.add(1, 1) | add(2)"


def test_options_of_the_constructor_are_those_of_the_first_task(app: Celery, s: Any, sent: Callable[[], Sent]) -> None:
    chain(s(1, 1), s(2), priority=4, app=app).apply_async()
    ((headers, body),) = sent()
    assert headers["task"] == "p.add"
    assert body[2]["chain"][0]["options"].get("priority") is None


def test_what_is_no_signature_is_refused(app: Celery, s: Any) -> None:
    with pytest.raises(TypeError, match=r"A signature is expected, got <@task: p.add.*use task.s"):
        chain(app.tasks["p.add"], s(1))


def test_empty_chain_is_none(app: Celery) -> None:
    assert repr(chain()).endswith(": empty>")
    assert chain()() is None
    assert chain(app=app).delay() is None
    assert chain([]).apply() is None


# ---------------------------------------------------------------------------------------------- the wire


def test_serialized_form(s: Any) -> None:
    step: dict[str, Any] = {"task": "p.add", "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}
    assert json.loads(json.dumps(s(1, 1) | s(2))) == {
        "task": "celery.chain",
        "args": [],
        "kwargs": {"tasks": [{**step, "args": [1, 1]}, {**step, "args": [2]}]},
        "options": {},
        "subtask_type": "chain",
        "immutable": False,
    }
    assert list(s(1, 1) | s(2)) == ["task", "args", "kwargs", "options", "subtask_type", "immutable"]


@pytest.mark.parametrize(
    "copy",
    [lambda x: signature(json.loads(json.dumps(x))), lambda x: pickle.loads(pickle.dumps(x))],
)
def test_it_survives_a_round_trip(s: Any, two: Any, copy: Callable[[Any], Any]) -> None:
    whole = (s(1, 1) | s(2) | two).set(countdown=3)
    again = copy(whole)
    assert isinstance(again, chain)
    assert isinstance(again.tasks[-1], group)
    assert json.dumps(again) == json.dumps(whole)


def test_first_message_carries_the_rest_in_reverse(s: Any, sent: Callable[[], Sent]) -> None:
    result = (s(1, 1) | s(2) | s(3)).apply_async(headers={"x": 1})
    ((headers, body),) = sent()
    args, kwargs, embed = body
    assert (args, kwargs) == ([1, 1], {})
    assert [step["args"] for step in embed["chain"]] == [[3], [2]]
    ids = [headers["id"], *(step["options"]["task_id"] for step in reversed(embed["chain"]))]
    assert ids == list(reversed(result.as_list()))
    assert set(embed["chain"][0]["options"]) == {"task_id", "reply_to"}
    assert headers["x"] == 1
    assert result.parent.parent.parent is None


def test_protocol_1_has_links_instead(app: Celery, s: Any, sent: Callable[[], Sent]) -> None:
    app.conf.task_protocol = 1
    (s(1, 1) | s(2) | s(3)).apply_async()
    ((_, body),) = sent()
    (link,) = body["callbacks"]
    assert (link["args"], link["options"]["link"][0]["args"]) == ([2], [3])


def test_arguments_go_to_the_first_task(s: Any, sent: Callable[[], Sent]) -> None:
    (s(1) | s(2)).delay(5)
    (s(1) | s(2)).clone((6,)).apply_async()
    (s(1) | s(2)).set(immutable=True).delay(5)
    assert [body[0] for _, body in sent()] == [[5, 1], [6, 1], [1]]


def test_options_about_the_result_go_to_the_last_task(s: Any, sent: Callable[[], Sent]) -> None:
    (s(1, 1) | s(2)).apply_async(task_id="last", link=s(8), link_error=s(9), group_id="g", group_index=3)
    ((headers, body),) = sent()
    (last,) = body[2]["chain"]
    options = last["options"]
    assert (options["task_id"], options["group_id"], options["group_index"]) == ("last", "g", 3)
    assert [each["args"] for each in options["link"]] == [[8]]
    assert [each["args"] for each in options["link_error"]] == [[9]]
    assert (headers["group"], body[2]["callbacks"]) == (None, None)
    assert [each["args"] for each in body[2]["errbacks"]] == [[9]]


def test_frozen_chain_is_sent_with_its_ids(s: Any, two: Any, sent: Callable[[], Sent]) -> None:
    whole = s(1, 1) | s(2) | two
    result = whole.freeze()
    assert isinstance(result, GroupResult)
    assert whole.id == result.id
    again = whole.apply_async()
    assert again.as_tuple() == result.as_tuple()
    ((headers, body),) = sent()
    assert headers["id"] == result.parent.parent.id
    (last, middle) = body[2]["chain"]
    assert middle["options"]["task_id"] == result.parent.id
    assert [each["options"]["task_id"] for each in last["kwargs"]["tasks"]] == [each.id for each in result]


def test_sending_twice_makes_two_chains(s: Any) -> None:
    pair = s(1, 1) | s(2)
    assert pair.delay().id != pair.delay().id


def test_a_chain_in_a_chain_is_flattened_when_it_is_sent(s: Any, sent: Callable[[], Sent]) -> None:
    inner = chain(s(2), s(3))
    chain(s(1, 1), inner, task_id="last").apply_async()
    ((_, body),) = sent()
    assert [step["args"] for step in body[2]["chain"]] == [[3], [2]]


def test_empty_groups_are_left_out_when_it_is_sent(s: Any, sent: Callable[[], Sent]) -> None:
    chain.of([group([]), s(1, 1), group([]), s(2)]).apply_async()
    ((_, body),) = sent()
    assert [step["args"] for step in body[2]["chain"]] == [[2]]


# ---------------------------------------------------------------------------------------------- eager


def test_eager_chain_runs_its_tasks_in_turn(s: Any, two: Any) -> None:
    result = (s(1, 1) | s(2) | s(3)).apply()
    assert result.get() == 7
    assert (result.parent.get(), result.parent.parent.get()) == (4, 2)
    assert (s(1) | s(2)).apply((5,)).get() == 8
    assert (s(1, 1) | two).apply().get() == [3, 4]
    assert (s(1, 1) | s(2)).set(task_id="whole").apply().get() == 4


def test_always_eager_chain_is_run_in_place(app: Celery, s: Any) -> None:
    app.conf.task_always_eager = True
    assert (s(1, 1) | s(2)).delay().get() == 4


def test_eager_chain_stops_at_a_failure_or_an_ignored_task(app: Celery, s: Any) -> None:
    fail, ignore = app.tasks["p.fail"].s(), app.tasks["p.ignore"].s()
    with pytest.raises(ValueError, match="on purpose"):
        (s(1, 1) | fail | s(2)).apply()
    assert (s(1, 1) | fail).apply().state == "FAILURE"
    assert (s(1, 1) | ignore | s(2)).apply().state == "IGNORED"


def test_eager_links_run(app: Celery, s: Any) -> None:
    seen: list[Any] = []

    @app.task(name="p.see", shared=False)
    def see(value: Any) -> None:
        seen.append(value)

    app.conf.task_always_eager = True
    (s(1, 1) | s(2)).apply_async(link=see.s())
    assert seen == [4]


def test_maybe_signature_gives_chains_their_app(app: Celery, s: Any) -> None:
    found = maybe_signature(json.loads(json.dumps(s(1, 1) | s(2))), app=app)
    assert found.app is app
    assert found.tasks[0].app is app
