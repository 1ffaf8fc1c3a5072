"""Chords: construction, ``|``, forms and messages, as observed from Celery 5.7."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, StampingVisitor, chain, chord, group, maybe_signature, signature
from celeriac.exceptions import ImproperlyConfigured
from celeriac.result import GroupResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.canvas.conftest import Sent


@pytest.fixture
def s(app: Celery) -> Callable[..., Any]:
    """Signatures of ``p.add``."""
    return app.tasks["p.add"].s


@pytest.fixture
def x(app: Celery) -> Callable[..., Any]:
    """Signatures of ``p.xs``, which returns what it gets."""

    @app.task(name="p.xs", shared=False)
    def xs(values: Any) -> Any:
        return values

    made: Callable[..., Any] = xs.s
    return made


@pytest.fixture
def two(s: Any) -> Any:
    return group(s(1, 1), s(2, 2))


@pytest.fixture
def whole(s: Any, x: Any) -> Any:
    return chord([s(1, 1), s(2, 2)], x())


STEP: dict[str, Any] = {"args": [], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}


def form(value: Any) -> Any:
    return json.loads(json.dumps(value))


# ---------------------------------------------------------------------------------------------- construction


def test_serialized_form(whole: Any) -> None:
    assert form(whole) == {
        "task": "celery.chord",
        "args": [],
        "kwargs": {
            "kwargs": {},
            "header": [{**STEP, "task": "p.add", "args": [1, 1]}, {**STEP, "task": "p.add", "args": [2, 2]}],
            "body": {**STEP, "task": "p.xs"},
        },
        "options": {},
        "subtask_type": "chord",
        "immutable": False,
    }
    assert list(whole) == ["task", "args", "kwargs", "options", "subtask_type", "immutable"]
    assert list(whole["kwargs"]) == ["kwargs", "header", "body"]


def test_arguments_and_options_of_the_constructor(s: Any, x: Any) -> None:
    made = chord([s(1)], x(), args=(1,), kwargs={"z": 1}, countdown=3)
    assert (made.args, made.options) == ((1,), {"countdown": 3})
    assert list(made.kwargs) == ["z", "header", "body"]


def test_a_header_may_be_anything_with_tasks(s: Any, x: Any, two: Any) -> None:
    for header in (two, [s(1, 1), s(2, 2)], (each for each in (s(1, 1), s(2, 2))), dict(two), s(1, 1) | s(2, 2)):
        assert repr(chord(header, x())) == "%p.xs([add(1, 1), add(2, 2)])"
    assert repr(chord(s(1, 1), x())) == "%p.xs([add(1, 1)])"
    assert repr(chord([dict(s(1, 1))], dict(x()))) == "%p.xs([add(1, 1)])"


def test_without_a_body(s: Any) -> None:
    assert repr(chord([s(1, 1)])) == "<chord without body: [p.add(1, 1)]>"
    assert form(chord([]))["kwargs"]["body"] is None
    with pytest.raises(ImproperlyConfigured, match="give it a body"):
        chord([s(1, 1)])()
    with pytest.raises(ImproperlyConfigured, match="give it a body"):
        chord([s(1, 1)]).apply()


@pytest.mark.parametrize(
    "copy", [lambda x: signature(form(x)), lambda x: pickle.loads(pickle.dumps(x)), lambda x: x.clone()]
)
def test_it_survives_a_round_trip(whole: Any, s: Any, copy: Callable[[Any], Any]) -> None:
    nested = chord([whole, s(1, 1) | s(2)], whole | s(3)).set(queue="q")
    again = copy(nested)
    assert isinstance(again, chord)
    assert isinstance(again.tasks[0], chord)
    assert isinstance(again.body, chord)
    assert form(again) == form(nested)
    frozen = nested.clone()
    frozen.freeze("body")
    assert form(copy(frozen)) == form(frozen)


# ---------------------------------------------------------------------------------------------- the operator


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("g | t", "%p.xs([add(1, 1), add(2, 2)])"),
        ("group(a) | t", "%p.xs([add(1, 1)])"),
        ("group([]) | t", "%p.xs([])"),
        ("g | (t | t)", "%(p.xs([add(1, 1), add(2, 2)]) | xs())"),
        ("g | group([])", "group((p.add(1, 1), add(2, 2)))"),
        ("c | t", "%(p.xs([add(1, 1), add(2, 2)]) | xs())"),
        ("c | t | t", "%(p.xs([add(1, 1), add(2, 2)]) | xs() | xs())"),
        ("c | group(t)", "%(p.xs([add(1, 1), add(2, 2)]) | xs())"),
        ("c | g", "%p.xs([add(1, 1), add(2, 2)]) | group((p.add(1, 1), add(2, 2)))"),
        ("c | c", "%(p.xs([add(1, 1), add(2, 2)]) | %xs([add(1, 1), add(2, 2)]))"),
        ("c | (t | t)", "%p.xs([add(1, 1), add(2, 2)]) | p.xs() | p.xs()"),
        ("a | c", "p.add(1, 1) | %xs([add(1, 1), add(2, 2)])"),
        ("a | g | t", "p.add(1, 1) | %xs([add(1, 1), add(2, 2)])"),
        ("a | g | g", "p.add(1, 1) | group((add(1, 1), add(2, 2))) | group((add(1, 1), add(2, 2)))"),
        ("a | g | g | t", "p.add(1, 1) | group((add(1, 1), add(2, 2))) | %xs([add(1, 1), add(2, 2)])"),
        ("a | c | t", "p.add(1, 1) | %(xs([add(1, 1), add(2, 2)]) | xs())"),
        ("a | c | g", "p.add(1, 1) | %(xs([add(1, 1), add(2, 2)]) | group((add(1, 1), add(2, 2))))"),
        ("a | c | c", "p.add(1, 1) | %xs([add(1, 1), add(2, 2)]) | %xs([add(1, 1), add(2, 2)])"),
        ("a | c | (t | t)", "p.add(1, 1) | %(xs([add(1, 1), add(2, 2)]) | xs() | xs())"),
        ("chain(c, t)", "%(p.xs([add(1, 1), add(2, 2)]) | xs())"),
        ("chain(g, t)", "%p.xs([add(1, 1), add(2, 2)])"),
        ("chain(group(a), t)", "p.add(1, 1) | xs()"),
    ],
)
def test_what_the_operator_makes(s: Any, x: Any, two: Any, whole: Any, how: str, expected: str) -> None:
    names = {"a": s(1, 1), "t": x(), "g": two, "c": whole, "chain": chain, "group": group}
    before = form([two, whole])
    assert repr(eval(how, names)) == expected  # noqa: S307 - the table above
    assert form([two, whole]) == before


def test_kinds_the_operator_makes(s: Any, x: Any, two: Any, whole: Any) -> None:
    assert isinstance(chain(two, x()), chord)
    joined: Any = chain(two, two, x())
    assert isinstance(joined.body, chord)
    assert isinstance((two | two).body, group)
    assert isinstance((two | whole).body, chord)
    (only,) = chain(whole, x()).tasks
    assert isinstance(only, chord)
    piped = s(1, 1) | two
    piped |= x()
    assert [type(step).__name__ for step in piped.tasks] == ["Signature", "chord"]


# ---------------------------------------------------------------------------------------------- messages


def test_header_messages_carry_the_body(whole: Any, sent: Callable[[], Sent]) -> None:
    result = whole.apply_async(task_id="body", root_id="r", parent_id="p")
    first, second = sent()
    for index, (headers, body) in enumerate((first, second)):
        assert (headers["group"], headers["group_index"]) == (result.parent.id, index)
        assert (headers["root_id"], headers["parent_id"]) == ("r", "p")
        assert headers["id"] == result.parent[index].id
        embedded = body[2]["chord"]
        assert (embedded["task"], embedded["options"]["task_id"]) == ("p.xs", "body")
    assert result.id == "body"
    assert isinstance(result.parent, GroupResult)


def test_a_body_that_is_a_chain_is_its_first_task_and_the_rest(
    s: Any, x: Any, two: Any, sent: Callable[[], Sent]
) -> None:
    result = (two | (x() | s(1) | s(2))).apply_async()
    embedded = sent()[0][1][2]["chord"]
    assert (embedded["task"], embedded["subtask_type"]) == ("p.xs", None)
    assert [step["args"] for step in embedded["options"]["chain"]] == [[2], [1]]
    assert embedded["options"]["chain"][0]["options"]["task_id"] == result.id
    assert embedded["options"]["task_id"] == result.parent.parent.id
    assert isinstance(result.parent.parent.parent, GroupResult)


def test_steps_after_a_chord_are_the_rest_of_its_body(s: Any, whole: Any, sent: Callable[[], Sent]) -> None:
    result = (whole | (s(1) | s(2))).apply_async()
    embedded = sent()[0][1][2]["chord"]
    assert [step["args"] for step in embedded["options"]["chain"]] == [[2], [1]]
    assert embedded["options"]["chain"][0]["options"]["task_id"] == result.id


def test_options_go_to_header_and_body(whole: Any, x: Any, sent: Callable[[], Sent]) -> None:
    whole.apply_async(priority=4, task_id="t", link=x(), link_error=x(), eta="2026-01-01T00:00:00+00:00")
    ((headers, body), _) = sent()
    embedded = body[2]["chord"]
    assert embedded["options"]["priority"] == 4
    assert len(embedded["options"]["link"]) == len(embedded["options"]["link_error"]) == 1
    assert "eta" not in embedded["options"]
    assert headers["eta"] == "2026-01-01T00:00:00+00:00"
    assert body[2]["callbacks"] is None


def test_arguments_go_to_the_header(s: Any, x: Any, sent: Callable[[], Sent]) -> None:
    chord([s(1), s(2)], x()).apply_async((5,))
    chord([s(1)], x(), args=(6,)).clone((7,)).apply_async()
    assert [body[0] for _, body in sent()] == [[5, 1], [5, 2], [7, 6, 1]]


def test_empty_header_sends_the_body(app: Celery, x: Any, sent: Callable[[], Sent]) -> None:
    result = chord([], x(), app=app).apply_async(task_id="body")
    ((headers, body),) = sent()
    assert (headers["id"], headers["task"], body[0]) == ("body", "p.xs", [[]])
    assert result.id == "body"


def test_body_given_with_the_call(s: Any, x: Any, sent: Callable[[], Sent]) -> None:
    header = chord([s(1, 1)])
    header(x(), task_id="body")
    assert header.body is None
    ((_, body),) = sent()
    assert body[2]["chord"]["options"]["task_id"] == "body"


def test_a_part_of_a_header_that_ends_in_a_group_gets_one_result(
    s: Any, x: Any, two: Any, sent: Callable[[], Sent]
) -> None:
    frozen = chord([s(1, 1) | two, chord([s(1, 1)], two)], x())
    result = frozen.freeze("body")
    assert len(result.parent) == 2
    for member, outer in zip(frozen.tasks, result.parent, strict=True):
        last = member.tasks[-1] if isinstance(member, chain) else member
        while isinstance(last, chord):
            last = last.body
        assert (last.task, last.kwargs, last.id) == ("celery.accumulate", {"index": 0}, outer.id)


def test_frozen_chord_is_sent_with_its_ids(s: Any, whole: Any, sent: Callable[[], Sent]) -> None:
    frozen = (s(1, 1) | whole | s(3)).clone()
    result = frozen.freeze()
    again = maybe_signature(form(frozen)).apply_async()
    assert again.id == result.id
    ((headers, body),) = sent()
    (step,) = body[2]["chain"]
    assert step["kwargs"]["header"]["options"]["task_id"] == result.parent.parent.id
    assert headers["id"] == result.parent.parent.parent.id


def test_stores_that_cannot_join_refuse(x: Any, s: Any) -> None:
    with (
        Celery("none", broker="memory://", backend="disabled://", set_as_current=False) as other,
        pytest.raises(NotImplementedError, match=r"disabled://.*set result_backend"),
    ):
        chord([signature("p.add", app=other)], signature("p.xs", app=other), app=other).apply_async()


# ---------------------------------------------------------------------------------------------- links and stamps


def test_links_are_those_of_the_body(app: Celery, whole: Any, x: Any) -> None:
    whole.link(x())
    whole.on_error(x(1))
    assert form(whole.body.options) == {"link": [form(x())], "link_error": [form(x(1))]}
    assert all(not member.options for member in whole.tasks)
    app.conf.task_allow_error_cb_on_chord_header = True
    whole.link_error(x(2))
    assert [len(member.options["link_error"]) for member in whole.tasks] == [1, 1]


def test_immutability_is_that_of_the_header(whole: Any) -> None:
    whole.set_immutable(True)
    assert [member.immutable for member in whole.tasks] == [True, True]
    assert not whole.body.immutable


def test_stamps_reach_header_and_body(whole: Any) -> None:
    class Visitor(StampingVisitor):
        def on_signature(self, sig: Any, **headers: Any) -> dict[str, Any]:
            return {"each": 1}

        def on_group_start(self, group: Any, **headers: Any) -> dict[str, Any]:
            return {"header": len(group)}

        def on_chord_body(self, chord: Any, **headers: Any) -> dict[str, Any]:
            return {"body": 3}

    assert whole.stamp(Visitor()) is whole
    assert whole.tasks[0].options == {"each": 1, "header": 2, "stamped_headers": ["header", "each"]}
    assert whole.body.options == {"each": 1, "body": 3, "stamped_headers": ["body", "each"]}


# ---------------------------------------------------------------------------------------------- eager


def test_eager_chords(app: Celery, s: Any, x: Any, two: Any, whole: Any) -> None:
    assert whole.apply().get() == [2, 4]
    assert isinstance(whole.apply().parent, GroupResult)
    app.conf.task_always_eager = True
    assert whole.apply_async().get() == [2, 4]
    assert chord([], x())().get() == []
    assert (s(1, 1) | group(s(1), s(2)) | x()).delay().get() == [3, 4]
    assert (two | group(x(), x())).delay().get() == [[2, 4], [2, 4]]
    assert chord([whole, s(1, 1)], x() | x()).delay().get() == [[2, 4], 2]
    assert (whole | (x() | x())).delay().get() == [2, 4]


def test_add_to_chord_outside_of_a_chord(app: Celery, s: Any) -> None:
    with pytest.raises(ValueError, match=r"p\.add: add_to_chord\(\) is for tasks in the header of a chord"):
        app.tasks["p.add"].add_to_chord(s(1, 1))


def test_arguments_and_options_of_a_group_are_those_of_the_header(app: Celery, s: Any) -> None:
    whole = group(s(1), s(2), queue="q").clone((10,), {"z": 0}) | s()
    assert [(tuple(each.args), each.kwargs, each.options["queue"]) for each in whole.tasks] == [
        ((10, 1), {"z": 0}, "q"), ((10, 2), {"z": 0}, "q")
    ]  # fmt: skip


def test_eager_chord_gives_exceptions_to_its_body_when_told(app: Celery, s: Any, x: Any) -> None:
    whole = chord([s(1, 1), app.tasks["p.fail"].s()], x())
    with pytest.raises(ValueError, match="on purpose"):
        whole.apply()
    assert repr(whole.apply(propagate=False).get()) == "[2, ValueError('on purpose')]"
