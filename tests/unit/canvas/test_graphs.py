"""The rest of a long workflow is kept in the result store, and messages refer to it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chain, chord, group
from celeriac.canvas import graphs
from celeriac.current import Context
from celeriac.exceptions import GraphMissing, OperationalError
from celeriac.execution import chords, follow_up
from celeriac.utils.dataclass import replace

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1500


@pytest.fixture
def kept(app: Celery, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What is kept, in an app whose store is as good as one that others see."""
    backend: Any = app.backend
    stored: dict[str, bytes] = {}
    keep = backend.keep_graphs

    def keep_graphs(given: dict[str, bytes]) -> None:
        stored.update(given)
        keep(given)

    monkeypatch.setattr(backend, "capabilities", replace(backend.capabilities, in_process=False))
    monkeypatch.setattr(backend, "keep_graphs", keep_graphs)
    app.conf.task_graph_inline_max = LIMIT
    return stored


def adding(app: Celery, count: int, **options: Any) -> Any:
    add = app.tasks["p.add"]
    return chain([add.s(0, 0), *(add.s(1) for _ in range(count))], app=app).set(**options)


def chords_of(app: Celery, count: int) -> Any:
    add = app.tasks["p.add"]
    return chain([chord([add.si(1, 1) for _ in range(10)], add.si(2, 2)) for _ in range(count)])


def rest_of(messages: Any) -> list[Any]:
    ((_, body),) = messages
    rest: list[Any] = body[2]["chain"]
    return rest


def publish_next(app: Celery, rest: list[Any]) -> None:
    follow_up.publish_next(app, Context(id="x", root_id="r", chain=rest, called_directly=False), 1)


def test_short_chain_is_in_its_message(app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]) -> None:
    adding(app, 3).apply_async()
    assert len(rest_of(sent())) == 3
    assert not kept


def test_messages_of_a_long_chain_stay_small_and_all_steps_come(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    result = adding(app, 100).apply_async()
    ids = []
    parent = result
    while parent is not None:
        ids.append(parent.id)
        parent = parent.parent
    found = []
    messages = sent()
    while messages:
        ((headers, body),) = messages
        found.append(headers["id"])
        assert len(json.dumps(body)) < LIMIT + 1000
        if not body[2]["chain"]:
            break
        publish_next(app, body[2]["chain"])
        messages = sent()
    assert found == ids[::-1]


def test_what_is_kept_grows_with_the_length(app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]) -> None:
    sizes = []
    for count in (100, 200):
        kept.clear()
        adding(app, count).apply_async()
        sizes.append(sum(map(len, kept.values())) + len(json.dumps(sent())))
    assert 1.8 < sizes[1] / sizes[0] < 2.2


def test_bytes_of_chords_in_a_chain_grow_with_their_number(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    sizes = []
    for count in (20, 40):
        kept.clear()
        chords_of(app, count).apply_async()
        size, headers = 0, 0
        while messages := sent():
            headers += 1
            assert len(messages) == 10
            size += len(json.dumps(messages))
            if not (rest := graphs.body_of(app, messages[0][1][2]["chord"])["options"].get("chain")):
                break
            publish_next(app, rest)
        assert headers == count
        sizes.append(size + sum(map(len, kept.values())))
    assert sizes[1] / sizes[0] < 2.2


def test_groups_in_a_chain_which_nest_are_kept_step_by_step(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    add, sizes = app.tasks["p.add"], []
    for count in (20, 40):
        kept.clear()
        steps = [add.s(0, 1)]
        for _ in range(count):
            steps += [group(add.s(number) for number in range(10)), add.s(1)]
        result = chain(*steps, app=app).apply_async()
        publish_next(app, rest_of(sent()))
        bodies, parents = [], []
        while messages := sent():
            body = graphs.body_of(app, messages[0][1][2]["chord"])
            bodies.append(body["options"]["task_id"])
            if not (rest := body["options"].get("chain")):
                break
            publish_next(app, rest)
        while result is not None:
            parents.append(result.id)
            result = result.parent
        # Above each body is the result of its header.
        assert bodies == parents[:-1:2][::-1]
        assert len(bodies) == count
        sizes.append(sum(map(len, kept.values())))
    assert sizes[1] / sizes[0] < 2.2


def test_reference_is_a_task_for_workers_of_celery(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    app.conf.task_routes = {"p.nobody": "nowhere"}
    whole = adding(app, 30, link_error=app.tasks["p.fail"].s())
    whole.tasks[1].set(queue="elsewhere", priority=3)
    result = whole.apply_async()
    (reference,) = rest_of(sent())
    assert (reference["task"], reference["subtask_type"], reference["immutable"]) == ("celeriac.resume", None, False)
    options = reference["options"]
    assert (options["task_id"], options["route_name"]) == (result.id, "p.add")
    assert (options["queue"], options["priority"]) == ("elsewhere", 3)
    assert [each["task"] for each in options["link_error"]] == ["p.fail"]
    assert reference["kwargs"]["graph"] in kept


@pytest.mark.parametrize(("size", "argument", "is_kept"), [(2, "x" * 4000, True), (200, "x", False)])
def test_a_large_body_of_a_chord_is_kept_once(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes], size: int, argument: str, is_kept: bool
) -> None:
    add, fail = app.tasks["p.add"], app.tasks["p.fail"]
    body = add.si(argument, "y").on_error(fail.s())
    result = chord([add.s(number, 1) for number in range(size)], body).apply_async()
    carried = [body[2]["chord"] for _, body in sent()]
    assert len(carried) == size
    assert all(each == carried[0] for each in carried)
    assert len(kept) == is_kept
    assert graphs.is_reference(carried[0]) == is_kept
    # What a worker of Celery needs to mark the body as failed.
    assert carried[0]["options"]["task_id"] == result.id
    assert [each["task"] for each in carried[0]["options"]["link_error"]] == ["p.fail"]
    found = graphs.body_of(app, carried[0])
    assert (found["task"], found["args"], found["options"]["task_id"]) == ("p.add", [argument, "y"], result.id)


def test_a_body_that_refers_to_more_is_kept_once(app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]) -> None:
    chords_of(app, 20).apply_async()
    assert all(graphs.is_reference(body[2]["chord"]) for _, body in sent())


def test_resuming_sends_the_next_step_as_the_one_before_would(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    adding(app, 30).apply_async()
    (reference,) = rest_of(sent())
    request = Context(id="last", parent_id="before", root_id="first", called_directly=False)
    follow_up.resume(app, request, reference["kwargs"]["graph"], 7)
    ((headers, body),) = sent()
    assert (headers["task"], headers["parent_id"], headers["root_id"]) == ("p.add", "before", "first")
    assert body[0] == [7, 1]


def test_all_steps_that_will_not_run_are_found(app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]) -> None:
    result = adding(app, 50).apply_async()
    records = follow_up.failed_rest(app, rest_of(sent()), ValueError("on purpose"), None)
    assert len({record.task_id for record in records}) == 50
    assert records[-1].task_id == result.id


def test_missing_rest_says_so_and_fails_the_last(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    result = adding(app, 50).apply_async()
    (reference,) = rest_of(sent())
    reference["kwargs"]["graph"] = "gone"
    with pytest.raises(GraphMissing, match=r"graph gone.*result_backend.*task_graph_expires"):
        publish_next(app, [reference])
    with caplog.at_level(logging.ERROR):
        (record,) = follow_up.failed_rest(app, [reference], ValueError("on purpose"), None)
    assert record.task_id == result.id
    assert "graph gone" in caplog.text


def test_group_at_the_end_is_kept_too(app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]) -> None:
    add = app.tasks["p.add"]
    result = chain(add.s(1, 1), group(add.s(n) for n in range(30)), app=app).apply_async()
    publish_next(app, rest_of(sent()))
    assert [headers["id"] for headers, _ in sent()] == [each.id for each in result]


@pytest.mark.parametrize("why", ["setting", "store", "process"])
def test_everything_is_inline_where_it_has_to_be(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend: Any = app.backend
    if why == "setting":
        app.conf.task_graph_inline_max = None
    else:
        changes: Any = {"graphs": False} if why == "store" else {"in_process": True}
        monkeypatch.setattr(backend, "capabilities", replace(backend.capabilities, **changes))
    adding(app, 50).apply_async()
    assert len(rest_of(sent())) == 50
    assert not kept


def test_store_that_cannot_be_reached_is_done_without(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(given: Any) -> None:
        raise OperationalError("down")

    monkeypatch.setattr(app.backend, "keep_graphs", refuse)
    adding(app, 50).apply_async()
    assert len(rest_of(sent())) == 50


def test_celerys_defaults_keep_everything_inline() -> None:
    with Celery("q", celery_defaults=True, set_as_current=False) as app:
        assert app.conf.task_graph_inline_max is None


def test_chords_that_are_bodies_of_chords_are_kept_once(
    app: Celery, sent: Callable[[], Any], kept: dict[str, bytes]
) -> None:
    add, sizes = app.tasks["p.add"], []
    for count in (10, 20):
        kept.clear()
        whole: Any = add.si(7, 7).on_error(app.tasks["p.fail"].s())
        for number in range(count):
            whole = chord([add.si(number, each) for each in range(10)], whole)
        result = whole.apply_async()
        size, levels = 0, 0
        while messages := sent():
            levels += 1
            size += len(json.dumps(messages))
            carried = messages[0][1][2]["chord"]
            assert [each["task"] for each in graphs.end_of(carried)["options"]["link_error"]] == ["p.fail"]
            assert graphs.end_of(carried)["options"]["task_id"] == result.id
            if levels == 1:
                # Whatever the level, all that will not run is the end.
                failed = follow_up.failed_rest(app, [carried], ValueError("on purpose"), None)
                assert [record.task_id for record in failed] == [result.id]
            body = graphs.body_of(app, carried)
            if body["task"] == "p.add":
                break
            chords.conclude_with(app, f"c{levels}", body, [1], {"root_id": "r"})
        assert levels == count
        sizes.append(size + sum(map(len, kept.values())))
    assert sizes[1] / sizes[0] < 2.2
