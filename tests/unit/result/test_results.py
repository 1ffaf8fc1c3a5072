from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from celeriac import Celery
from celeriac.backend.base import ResultRecord
from celeriac.current import Context, pop_task, push_task
from celeriac.exceptions import ImproperlyConfigured, IncompleteStream, TaskRevokedError, TimeoutError
from celeriac.result import (
    AsyncResult,
    EagerResult,
    GroupResult,
    ResultSet,
    allow_join_result,
    denied_join_result,
    result_from_tuple,
)
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker="memory://", backend=f"memory://{unique_name}") as app:
        yield app


def store(app: Celery, task_id: str, status: str = "SUCCESS", result: Any = None, **fields: Any) -> None:
    app.backend.store_many([ResultRecord(task_id, status, result, **fields)])


def test_nothing_known_is_pending(app: Celery) -> None:
    result = app.AsyncResult("a")
    assert (result.state, result.result, result.ready(), result.exists()) == ("PENDING", None, False, False)


def test_success(app: Celery) -> None:
    store(app, "a", result=5, date_done="2026-01-02T03:04:05+00:00", children=[[["b", None], None]])
    result = app.AsyncResult("a")
    assert (result.state, result.get(timeout=PATIENCE), result.ready(), result.successful(), result.failed()) == (
        "SUCCESS", 5, True, True, False,
    )  # fmt: skip
    assert result.date_done == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert result.children == [app.AsyncResult("b")]
    assert result.exists()


def test_failure_raises_unless_told_otherwise(app: Celery) -> None:
    store(app, "a", "FAILURE", ValueError("bad"), traceback="Traceback ...")
    result = app.AsyncResult("a")
    with pytest.raises(ValueError, match="bad"):
        result.get(timeout=PATIENCE)
    assert isinstance(result.get(timeout=1, propagate=False), ValueError)
    assert result.traceback == "Traceback ..."
    assert result.failed()


def test_waiting_ends_when_the_result_comes(app: Celery) -> None:
    timer = threading.Timer(0.05, store, (app, "a"), {"result": 9})
    timer.start()
    assert app.AsyncResult("a").get(timeout=PATIENCE) == 9
    timer.join()


def test_waiting_times_out(app: Celery) -> None:
    with pytest.raises(TimeoutError):
        app.AsyncResult("a").get(timeout=0.01)


def test_a_timeout_is_a_number(app: Celery) -> None:
    store(app, "a", result=1)
    for result in (app.AsyncResult("a"), app.AsyncResult("b"), ResultSet([app.AsyncResult("a")], app=app)):
        with pytest.raises(TypeError, match="timeout is 'x': give a number of seconds"):
            result.get(timeout=cast("Any", "x"))
        with pytest.raises(TypeError, match="timeout is 'x': give a number of seconds"):
            asyncio.run(result.aget(timeout=cast("Any", "x")))


def test_on_interval_is_called_while_waiting(app: Celery) -> None:
    calls: list[int] = []

    def tick() -> None:
        calls.append(1)
        if len(calls) == 3:
            store(app, "a", result="done")

    assert app.AsyncResult("a").get(timeout=10, interval=0.001, on_interval=tick) == "done"
    assert len(calls) == 3


def test_callbacks_get_id_and_value(app: Celery) -> None:
    store(app, "a", result=5)
    seen: list[Any] = []
    metas: list[Any] = []
    app.AsyncResult("a").get(timeout=1, callback=lambda *pair: seen.append(pair), on_message=metas.append)
    assert seen == [("a", 5)]
    assert metas[0]["status"] == "SUCCESS"


def test_final_results_are_read_once(app: Celery) -> None:
    store(app, "a", result=5)
    result = app.AsyncResult("a")
    assert result.result == 5
    app.backend.forget_many(["a"])
    assert result.result == 5


def test_forget_deletes(app: Celery) -> None:
    store(app, "a", result=5)
    store(app, "p", result=1)
    result = app.AsyncResult("a", parent=app.AsyncResult("p"))
    result.forget()
    assert (result.state, result.parent.state) == ("PENDING", "PENDING")


def test_extended_fields(app: Celery) -> None:
    extra = {"name": "proj.add", "args": [1], "kwargs": {}, "worker": "w@h", "retries": 2, "queue": "q"}
    store(app, "a", result=5, extra=extra)
    result = app.AsyncResult("a")
    assert {key: getattr(result, key) for key in extra} == extra


def test_a_failed_parent_is_raised(app: Celery) -> None:
    store(app, "p", "FAILURE", KeyError("parent"))
    with pytest.raises(KeyError, match="parent"):
        app.AsyncResult("a", parent=app.AsyncResult("p")).get(timeout=PATIENCE)


def test_waiting_inside_a_task_is_refused(app: Celery) -> None:
    store(app, "a", result=5)
    token = push_task(object(), Context(id="t", called_directly=False))
    try:
        with pytest.raises(RuntimeError, match="within a task"):
            app.AsyncResult("a").get()
        assert app.AsyncResult("a").get(disable_sync_subtasks=False) == 5
        with allow_join_result():
            assert app.AsyncResult("a").get() == 5
    finally:
        pop_task(token)
    with denied_join_result(), pytest.raises(RuntimeError):
        app.AsyncResult("a").get()


def test_identity(app: Celery) -> None:
    result = app.AsyncResult("a")
    assert result == AsyncResult("a") == "a"
    assert result != app.AsyncResult("b")
    assert {result: 1}[AsyncResult("a")] == 1
    assert (str(result), repr(result)) == ("a", "<AsyncResult: a>")
    assert copy.copy(result) == pickle.loads(pickle.dumps(result)) == result
    with pytest.raises(ValueError, match="None"):
        AsyncResult(None)  # type: ignore[arg-type]


def test_tuples_and_back(app: Celery) -> None:
    result = app.AsyncResult("a", parent=app.AsyncResult("p"))
    assert result.as_tuple() == (("a", (("p", None), None)), None)
    assert result.as_list() == ["a", "p"]
    back = result_from_tuple(result.as_tuple(), app)
    assert (back, back.parent) == ("a", "p")
    group = GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")], app=app)
    assert result_from_tuple(group.as_tuple(), app) == group


def test_graphs(app: Celery) -> None:
    store(app, "a", result=1, children=[[["b", None], None]])
    with pytest.raises(IncompleteStream):
        list(app.AsyncResult("a").iterdeps())
    store(app, "b", result=2)
    assert [value for _, value in app.AsyncResult("a").collect()] == [1, 2]
    assert app.AsyncResult("a").get_leaf() == 2


def test_sets_wait_for_all_in_order(app: Celery) -> None:
    store(app, "b", result=2)
    subject = app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b"), EagerResult("c", 3, "SUCCESS")])
    assert (subject.ready(), subject.completed_count(), subject.successful()) == (False, 2, False)
    timer = threading.Timer(0.02, store, (app, "a"), {"result": 1})
    timer.start()
    assert subject.get(timeout=PATIENCE) == [1, 2, 3]
    assert subject.join(timeout=PATIENCE) == [1, 2, 3]
    timer.join()
    assert [task_id for task_id, _ in subject.iter_native()] == ["a", "b", "c"]


def test_sets_raise_and_time_out(app: Celery) -> None:
    with pytest.raises(TimeoutError):
        ResultSet([app.AsyncResult("a")], app=app).get(timeout=0.01)
    store(app, "a", "FAILURE", ValueError("bad"))
    subject = ResultSet([app.AsyncResult("a")], app=app)
    assert subject.failed()
    with pytest.raises(ValueError, match="bad"):
        subject.get(timeout=PATIENCE)
    with pytest.raises(ValueError, match="bad"):
        subject.maybe_throw()
    with pytest.raises(ImproperlyConfigured):
        subject.join(on_message=print)


def test_sets_are_collections(app: Celery) -> None:
    a, b = app.AsyncResult("a"), app.AsyncResult("b")
    subject = ResultSet([a], app=app)
    subject.add(a)
    subject.update([b])
    assert (list(subject), len(subject), subject[1]) == ([a, b], 2, b)
    subject.remove(a)
    with pytest.raises(KeyError):
        subject.remove(a)
    subject.discard(a)
    subject.clear()
    assert subject.get(timeout=0) == []


def test_groups_are_saved_and_restored(app: Celery) -> None:
    group = app.GroupResult("g", [app.AsyncResult("a")])
    group.save()
    restored = GroupResult.restore("g", app=app)
    assert (restored, restored.children) == (group, ["a"])
    group.delete()
    assert GroupResult.restore("g", app=app) is None
    assert group
    assert not GroupResult()


def test_eager_results(app: Celery) -> None:
    result: EagerResult[int] = EagerResult("a", 5, "SUCCESS")
    assert (result.get(), result.ready(), result.successful(), result.state) == (5, True, True, "SUCCESS")
    failed: EagerResult[Any] = EagerResult("b", ValueError("bad"), "FAILURE", "tb")
    with pytest.raises(ValueError, match="bad"):
        failed.get()
    assert failed.get(propagate=False).args == ("bad",)
    assert failed.traceback == "tb"
    result.revoke()
    result.forget()
    assert result.state == "REVOKED"
    with pytest.raises(TaskRevokedError, match="revoked"):
        result.get()
    assert type(pickle.loads(pickle.dumps(result)).result) is type(copy.copy(result).result) is TaskRevokedError
    for state in ("IGNORED", "REJECTED", "RETRY"):
        assert EagerResult("c", ValueError("not its value"), state).get() is None


@pytest.mark.parametrize(
    ("status", "stored", "raised"),
    [
        ("REVOKED", None, TaskRevokedError("revoked")),
        ("REVOKED", TaskRevokedError("expired"), TaskRevokedError("expired")),
        ("FAILURE", None, Exception(None)),
    ],
)
def test_what_is_stored_without_its_exception_is_raised_too(
    app: Celery, status: str, stored: Any, raised: Exception
) -> None:
    store(app, "a", status, stored)
    for look in (
        lambda: app.AsyncResult("a").get(timeout=PATIENCE),
        lambda: app.AsyncResult("a").maybe_throw(),
        lambda: asyncio.run(app.AsyncResult("a").aget(timeout=PATIENCE)),
        lambda: app.AsyncResult("b", parent=app.AsyncResult("a")).get(timeout=PATIENCE),
        lambda: app.ResultSet([app.AsyncResult("a")]).get(timeout=PATIENCE),
        lambda: app.ResultSet([app.AsyncResult("a")]).maybe_throw(),
    ):
        with pytest.raises(type(raised)) as found:
            look()
        assert (type(found.value), found.value.args) == (type(raised), raised.args)


@pytest.mark.parametrize("wanted", [False, True])
def test_tracebacks_of_workers_are_those_of_the_exceptions_here(app: Celery, wanted: bool) -> None:
    app.conf.task_remote_tracebacks = wanted
    text = (
        'Traceback (most recent call last):\n  File "/srv/tasks.py", line 7, in add\n    return x + y\n'
        "ValueError: bad\n"
    )
    store(app, "a", "FAILURE", ValueError("bad"), traceback=text)
    for get in (app.AsyncResult("a").get, app.ResultSet([app.AsyncResult("a")]).get, app.AsyncResult("a").maybe_throw):
        with pytest.raises(ValueError, match="bad") as found:
            get()
        assert ("/srv/tasks.py" in map(str, (entry.path for entry in found.traceback))) is wanted


def test_revoking_asks_remote_control(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, bool, Any]] = []
    for name in ("revoke", "revoke_by_stamped_headers"):
        monkeypatch.setattr(
            app.control, name, lambda what, *, terminate, reply, **_: asked.append((what, terminate, reply))
        )
    app.AsyncResult("a").revoke(terminate=True)
    app.AsyncResult("a").revoke_by_stamped_headers({"k": "v"}, wait=True)
    app.ResultSet([app.AsyncResult("a"), app.GroupResult("g", [app.AsyncResult("b")])]).revoke()
    assert asked == [("a", True, False), ({"k": "v"}, False, True), (["a", "b"], False, False)]


def test_sets_made_by_an_app_belong_to_it(app: Celery) -> None:
    assert app.ResultSet([]).backend is app.backend
    assert app.GroupResult("g").app is app
    assert result_from_tuple((("g", None), []), app).app is app


def test_the_graph_of_what_a_task_started(app: Celery) -> None:
    store(app, "a", result=1, children=[[["b", None], None], [["c", None], None]])
    store(app, "b", result=2, children=[[["c", None], None]])
    result = app.AsyncResult("a")
    with pytest.raises(IncompleteStream, match="c"):
        _ = result.graph
    assert len(result.build_graph(intermediate=True)) == 3
    store(app, "c", result=3)
    graph = result.graph
    assert result.graph is graph
    assert str(graph).splitlines() == ["a(3)", "    b(1)", "        c(0)", "    c(0)", "b(1)", "    c(0)", "c(0)"]


def test_a_failed_parent_costs_one_read(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = None
    for number in range(10):
        parent = app.AsyncResult(f"p{number}", parent=parent)
        store(app, f"p{number}", *(("FAILURE", KeyError("the first")) if number == 0 else ("SUCCESS", number)))
    reads: list[Any] = []
    load_many = app.backend.load_many

    def counted(task_ids: list[str]) -> dict[str, ResultRecord]:
        reads.append(task_ids)
        return load_many(task_ids)

    monkeypatch.setattr(app.backend, "load_many", counted)
    with pytest.raises(KeyError, match="the first"):
        app.AsyncResult("a", parent=parent).get(timeout=PATIENCE)
    assert len(reads) == 1


def test_a_look_does_not_wait(app: Celery) -> None:
    store(app, "a", result=5)
    assert app.AsyncResult("a").get(timeout=0) == 5
    with pytest.raises(TimeoutError, match="b"):
        app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b")]).get(timeout=0)


def test_streaming_keeps_nothing(app: Celery) -> None:
    for number in range(5):
        store(app, str(number), result=number)
    group = app.GroupResult("g", [app.AsyncResult(str(number)) for number in range(5)])
    assert sorted(meta["result"] for _, meta in group.iter_native(timeout=PATIENCE)) == list(range(5))
    assert [result.known_record() for result in group] == [None] * 5
    assert group.join_native(timeout=PATIENCE) == group.join(timeout=10) == list(range(5))


def test_sets_in_sets_count_once_they_are_complete(app: Celery) -> None:
    store(app, "a", result=1)
    store(app, "b", result=2)
    nested = app.GroupResult("g2", [app.AsyncResult("b"), app.AsyncResult("c")])
    group = app.GroupResult("g1", [app.AsyncResult("a"), nested])
    assert (group.completed_count(), group.ready(), group.waiting(), group.failed()) == (1, False, True, False)
    store(app, "c", "FAILURE", ValueError("bad"))
    assert (group.completed_count(), group.ready(), group.successful(), group.failed()) == (1, True, False, True)
    with pytest.raises(ValueError, match="bad"):
        group.maybe_throw()
    group.maybe_throw(propagate=False)


@pytest.mark.parametrize("stored", ["2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00", "2026-01-02T05:04:05+02:00"])
def test_the_time_of_the_end_has_an_offset(app: Celery, stored: str) -> None:
    store(app, "a", result=1, date_done=stored)
    assert app.AsyncResult("a").date_done == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(("size", "kept"), [(3, True), (4, False)])
def test_large_sets_keep_values_only(app: Celery, monkeypatch: pytest.MonkeyPatch, size: int, kept: bool) -> None:
    monkeypatch.setattr("celeriac.result.result_set.KEPT_RECORDS", 3)
    names = [str(number) for number in range(size)]
    for name in names:
        store(app, name, result=name)
    joined, awaited = [ResultSet([app.AsyncResult(name) for name in names]) for _ in range(2)]
    assert joined.join(timeout=PATIENCE) == names
    assert asyncio.run(awaited.aget(timeout=PATIENCE)) == names
    for results in (joined, awaited):
        assert [each.known_record() is not None for each in results] == [kept] * size
        # They are still there to be read.
        assert (results.successful(), results[0].get(timeout=PATIENCE)) == (True, "0")


def test_what_is_thrown(app: Celery) -> None:
    store(app, "a", result=1)
    store(app, "b", "FAILURE", ValueError("bad"))
    assert (app.AsyncResult("a").throw(), app.AsyncResult("b").throw(propagate=False).args) == (1, ("bad",))
    with pytest.raises(ValueError, match="bad"):
        app.AsyncResult("b").throw()
    with pytest.raises(KeyError, match="mine"):
        app.AsyncResult("a").throw(KeyError("mine"))


def test_a_set_that_is_late_says_what_is_missing(app: Celery) -> None:
    store(app, "a", result=1)
    for late in (
        app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b")]),
        app.GroupResult("g", [app.AsyncResult("b")]),
    ):
        with pytest.raises(
            TimeoutError, match=rf"1 of {len(late)} results were not ready after 0.01 s, that of task b"
        ):
            late.get(timeout=0.01)
