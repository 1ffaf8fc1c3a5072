"""Maps and chunks; forms as observed from Celery 5.7."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chunks, group, signature, xmap, xstarmap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.canvas.conftest import Sent

PAIRS = [(1, 1), (2, 2), (3, 3)]


@pytest.fixture
def add(app: Celery) -> Any:
    return app.tasks["p.add"]


def test_serialized_forms(add: Any) -> None:
    inner = json.loads(json.dumps(add.s()))
    forms: list[tuple[Any, str, dict[str, Any]]] = [
        (add.map([[1], [2]]), "celery.map", {"it": [[1], [2]]}),
        (add.starmap(iter(PAIRS)), "celery.starmap", {"it": [[1, 1], [2, 2], [3, 3]]}),
        (add.chunks(iter(PAIRS), 2), "celery.chunks", {"it": [[1, 1], [2, 2], [3, 3]], "n": 2}),
    ]
    for sig, name, kwargs in forms:
        assert json.loads(json.dumps(sig)) == {
            "task": name, "args": [], "kwargs": {"task": inner, **kwargs}, "options": {}, "subtask_type": None,
            "immutable": True,
        }  # fmt: skip


def test_texts(add: Any) -> None:
    assert repr(add.map([1, 2])) == "[p.add(x) for x in [1, 2]]"
    assert repr(add.starmap([(1, 2)])) == "[p.add(*x) for x in [(1, 2)]]"
    assert repr(add.chunks(PAIRS, 2).group()) == (
        "group(([p.add(*x) for x in [(1, 1), (2, 2)]], [p.add(*x) for x in [(3, 3)]]))"
    )
    assert repr(add.map([1]) | add.s(1)) == "[p.add(x) for x in [1]] | p.add(1)"


def test_classes_are_public(add: Any) -> None:
    assert isinstance(add.map([1]), xmap)
    assert isinstance(add.starmap([(1, 1)]).clone(), xstarmap)
    assert isinstance(chunks(add.s(), PAIRS, 2).group(), group)
    with pytest.raises(ValueError, match="at least one call"):
        add.chunks(PAIRS, 0)


def test_they_run(app: Celery, add: Any) -> None:
    double = app.task(name="p.double", shared=False)(lambda x: 2 * x)
    assert double.map([1, 2]).apply().get() == [2, 4]
    assert add.starmap(PAIRS).apply().get() == [2, 4, 6]
    assert add.starmap(PAIRS)() == [2, 4, 6]
    assert add.chunks(PAIRS, 2).apply().get() == [[2, 4], [6]]
    app.conf.task_always_eager = True
    assert add.starmap(PAIRS).delay().get() == [2, 4, 6]
    assert add.chunks(PAIRS, 2)().get() == [[2, 4], [6]]
    assert (add.chunks(PAIRS, 2) | app.tasks["celery.accumulate"].s(index=0)).apply().get() == [[2, 4], [6]]


def test_arguments_of_callers_are_ignored(add: Any, sent: Callable[[], Sent]) -> None:
    add.starmap(PAIRS).apply_async((9,), {"z": 1})
    ((_, body),) = sent()
    assert (body[0], sorted(body[1])) == ([], ["it", "task"])


def test_chunks_are_sent_as_a_group_of_parts(add: Any, sent: Callable[[], Sent]) -> None:
    result = add.chunks(PAIRS, 2).apply_async(shadow="part")
    found = sorted((headers["group_index"], headers["task"], body[1]["it"], headers["shadow"])
                   for headers, body in sent())  # fmt: skip
    assert found == [(0, "celery.starmap", [[1, 1], [2, 2]], "part"), (1, "celery.starmap", [[3, 3]], "part")]
    assert len(result) == 2
    assert len(chunks.apply_chunks(add.s(), PAIRS, 1)) == 3


@pytest.mark.parametrize("form", ["sent", "in a group", "in a chain", "read back", "chunks"])
def test_they_are_routed_as_the_task_they_call(app: Celery, add: Any, form: str) -> None:
    app.conf.task_routes = {"p.add": {"queue": "sums"}, "celery.*": {"queue": "wrong"}}
    mapped = add.starmap(PAIRS)
    {
        "sent": mapped,
        "in a group": group(mapped, mapped),
        "in a chain": mapped | add.s(1),
        "read back": signature(json.loads(json.dumps(mapped)), app=app),
        "chunks": add.chunks(PAIRS, 2),
    }[form].apply_async()
    session: Any = app.broker.connect()
    depths = session.depths(["sums", "wrong", "celery"])
    session.close()
    assert depths["sums"] >= 1
    assert (depths["wrong"], depths["celery"]) == (0, 0)
