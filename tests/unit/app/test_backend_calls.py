"""What callers of Celery's backends call; values as observed from Celery 5.7."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, states
from celeriac.app.backend_calls import BackendCalls
from celeriac.app.backend_of_app import backend_of
from celeriac.backend.base import ResultRecord
from celeriac.backend.memory import MemoryBackend
from celeriac.current import Context
from celeriac.exceptions import OperationalError, TaskRevokedError, TimeoutError
from celeriac.result import EagerResult, GroupResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from celeriac.app.backend_of_app import AppBackend


@pytest.fixture(params=["memory", "sqlite", "file"])
def app(request: pytest.FixtureRequest, unique_name: str, tmp_path: Path) -> Iterator[Celery]:
    url = {"memory": f"memory://{unique_name}", "sqlite": f"sqlite:///{tmp_path}/db", "file": f"file://{tmp_path}"}
    with Celery("p", broker=f"memory://{unique_name}", backend=url[request.param]) as app:
        app.task(name="p.body", shared=False)(lambda values: values)
        app.task(name="p.errback", shared=False)(lambda task_id: None)
        yield app


@pytest.fixture
def backend(app: Celery) -> AppBackend:
    return app.backend


def meta_of(backend: AppBackend, task_id: str) -> dict[str, Any]:
    return {key: value for key, value in backend.get_task_meta(task_id).items() if key != "date_done"}


def sent(app: Celery) -> list[dict[str, Any]]:
    session: Any = app.broker.connect()
    session.consume([app.queues.default])
    deliveries = session.fetch(limit=100, wait=0)
    session.ack_many(deliveries)
    session.close()
    return [each.message.headers for each in deliveries]


def test_a_stored_result_is_read_by_its_parts(backend: AppBackend) -> None:
    assert backend.store_result("t", [1, 2], "SUCCESS") == [1, 2]
    assert (backend.get_state("t"), backend.get_status("t"), backend.get_result("t")) == ("SUCCESS", "SUCCESS", [1, 2])
    assert (backend.get_traceback("t"), backend.get_children("t")) == (None, None)
    assert backend.task_result_exists("t")
    assert meta_of(backend, "t") == {
        "status": "SUCCESS", "result": [1, 2], "traceback": None, "children": None, "task_id": "t",
    }  # fmt: skip
    backend.reload_task_result("t")
    backend.forget("t")
    assert (backend.get_state("t"), backend.get_result("t"), backend.task_result_exists("t")) == (
        "PENDING",
        None,
        False,
    )
    assert backend.get_task_meta("t") == {"status": "PENDING", "result": None}
    assert (backend.get_traceback("t"), backend.get_children("t"), backend.is_cached("t")) == (None, None, False)


def test_states_are_marked(app: Celery, backend: AppBackend) -> None:
    assert backend.mark_as_started("t", pid=3) == {"pid": 3}
    assert (backend.get_state("t"), backend.get_result("t")) == ("STARTED", {"pid": 3})
    error = ValueError("bad")
    backend.mark_as_retry("t", error, "Traceback 1")
    assert (backend.get_state("t"), str(backend.get_result("t")), backend.get_traceback("t")) == (
        "RETRY", "bad", "Traceback 1",
    )  # fmt: skip
    backend.mark_as_failure("t", error, traceback="Traceback 2")
    assert (backend.get_state("t"), backend.get_traceback("t")) == ("FAILURE", "Traceback 2")
    with pytest.raises(ValueError, match="bad"):
        app.AsyncResult("t").get(timeout=1)
    backend.mark_as_done("t", 5)
    assert (backend.get_state("t"), backend.get_result("t")) == ("SUCCESS", 5)
    backend.mark_as_revoked("r", "why")
    assert (backend.get_state("r"), type(backend.get_result("r"))) == ("REVOKED", TaskRevokedError)
    backend.mark_as_done("not stored", 1, store_result=False)
    backend.mark_as_failure("not stored", error, store_result=False)
    assert not backend.task_result_exists("not stored")


def test_the_exception_at_hand_is_stored(backend: AppBackend) -> None:
    try:
        raise KeyError("k")
    except KeyError:
        einfo = backend.fail_from_current_stack("t")
    assert isinstance(einfo.exception, KeyError)
    assert backend.get_state("t") == "FAILURE"
    assert "KeyError" in (backend.get_traceback("t") or "")


def test_what_a_request_knows_is_stored(app: Celery, backend: AppBackend) -> None:
    app.conf.result_extended = True
    request = Context(id="t", task="p.add", args=[1], kwargs={"y": 2}, group="g", parent_id="above", hostname="w@h")
    request.children.append(app.AsyncResult("child"))
    assert backend.current_task_children(request) == [(("child", None), None)]
    backend.store_result("t", 3, "SUCCESS", request=request)
    meta = meta_of(backend, "t")
    assert [[[str(task_id), above], below] for (task_id, above), below in meta.pop("children")] == [
        [["child", None], None]
    ]
    assert meta == {
        "status": "SUCCESS", "result": 3, "traceback": None, "task_id": "t", "group_id": "g", "parent_id": "above",
        "name": "p.add", "args": [1], "kwargs": {"y": 2}, "worker": "w@h", "retries": 0, "queue": None,
    }  # fmt: skip
    assert [child.id for child in app.AsyncResult("t").children or ()] == ["child"]


def test_failure_fails_what_depends_on_it(app: Celery, backend: AppBackend) -> None:
    later = app.tasks["p.body"].s()
    later.freeze("later")
    errback = app.tasks["p.errback"].s()
    request = Context(id="t", chain=[dict(later)], errbacks=[dict(errback)], root_id="t")
    backend.mark_as_failure("t", ValueError("bad"), request=request)
    assert (backend.get_state("t"), backend.get_state("later")) == ("FAILURE", "FAILURE")
    assert [each["task"] for each in sent(app)] == ["p.errback"]
    backend.mark_as_failure("t", ValueError("bad"), request=request, call_errbacks=False)
    assert sent(app) == []


def test_waiting(app: Celery, backend: AppBackend) -> None:
    backend.mark_as_done("a", 1)
    backend.mark_as_failure("b", ValueError("bad"))
    assert backend.wait_for("a", timeout=1)["result"] == 1
    assert backend.wait_for_pending(app.AsyncResult("a"), timeout=1) == 1
    with pytest.raises(ValueError, match="bad"):
        backend.wait_for_pending(app.AsyncResult("b"), timeout=1)
    assert isinstance(backend.wait_for_pending(app.AsyncResult("b"), timeout=1, propagate=False), ValueError)
    told: list[Any] = []
    found = dict(backend.get_many(["a", "b"], timeout=5, on_message=told.append))
    assert {key: meta["status"] for key, meta in found.items()} == {"a": "SUCCESS", "b": "FAILURE"}
    assert {meta["task_id"] for meta in told} == {"a", "b"}
    results = app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b")])
    assert dict(backend.iter_native(results, timeout=5)).keys() == {"a", "b"}
    with pytest.raises(TimeoutError):
        backend.wait_for("none", timeout=0.01)
    with pytest.raises(TimeoutError):
        list(backend.get_many(["a", "none"], timeout=0.01))
    looks: list[int] = []
    some = backend.get_many(["a", "none"], interval=0.01, on_interval=lambda: looks.append(1), max_iterations=3)
    assert ([key for key, _ in some], len(looks)) == (["a"], 2)
    assert backend.add_pending_result(results) is backend.remove_pending_result(results) is results
    assert backend.on_task_call(None, "t") == {}


def test_groups(app: Celery, backend: AppBackend) -> None:
    group = app.GroupResult("g", [app.AsyncResult("a")])
    backend.save_group("g", group)
    backend.reload_group_result("g")
    assert backend.restore_group("g") == group
    assert backend.get_group_meta("g") == {"result": group}
    backend.delete_group("g")
    assert (backend.restore_group("g"), backend.get_group_meta("g")) == (None, None)


def test_a_chord_is_counted_by_hand(app: Celery, backend: AppBackend) -> None:
    body = app.tasks["p.body"].s()
    body.freeze("body")
    backend.ensure_chords_allowed()
    backend.apply_chord(("g", [app.AsyncResult("a"), app.AsyncResult("b")]), body)
    backend.add_to_chord("g", app.AsyncResult("c"))
    parts = [Context(id=key, group="g", group_index=at, chord=dict(body), root_id="a") for at, key in enumerate("abc")]
    backend.mark_as_done("a", 1, request=parts[0])
    backend.on_chord_part_return(parts[1], "SUCCESS", 2)
    assert sent(app) == []
    backend.mark_as_done("c", 3, request=parts[2], store_result=False)
    (message,) = sent(app)
    assert (message["task"], message["id"]) == ("p.body", "body")


def test_a_chord_is_watched_when_asked(app: Celery, backend: AppBackend) -> None:
    body = app.tasks["p.body"].s()
    body.freeze("body")
    backend.fallback_chord_unlock(app.GroupResult("g", [app.AsyncResult("a")]), body, countdown=0, interval=3)
    assert [each["task"] for each in sent(app)] == ["celery.chord_unlock"]


def test_stored_forms(backend: AppBackend) -> None:
    assert (backend.encode({"a": 1}), backend.decode('{"a": 1}'), backend.decode(None)) == ('{"a": 1}', {"a": 1}, None)
    stored = backend.prepare_exception(ValueError("x"))
    assert stored == {"exc_type": "ValueError", "exc_message": ["x"], "exc_module": "builtins"}
    assert backend.encode_result(ValueError("x"), "FAILURE") == stored
    assert backend.encode_result(5, "SUCCESS") == 5
    assert repr(backend.exception_to_python(stored)) == "ValueError('x')"
    assert backend.meta_from_decoded({"status": "SUCCESS", "result": 1}) == {"status": "SUCCESS", "result": 1}
    again = backend.decode_result(backend.encode({"status": "FAILURE", "result": stored}))
    assert repr(again["result"]) == "ValueError('x')"
    assert backend.prepare_value(GroupResult("g", [EagerResult("e", 1, "SUCCESS")])) == (
        ("g", None), [(("e", None), None)],
    )  # fmt: skip
    assert backend.exception_safe_to_retry(OperationalError("away"))
    assert not backend.exception_safe_to_retry(ValueError())


def test_what_it_is_made_with(app: Celery, backend: AppBackend) -> None:
    assert (backend.serializer, backend.content_type, backend.content_encoding) == ("json", "application/json", "utf-8")
    assert (set(backend.accept), backend.compression, backend.expires) == ({"application/json"}, None, 86400.0)
    assert (backend.prepare_expires(None, type=int), backend.prepare_expires(timedelta(minutes=1))) == (86400, 60)
    assert (backend.as_uri(include_password=True), backend.as_uri()) == (app.conf.result_backend, backend.url)
    assert (backend.READY_STATES, backend.TimeoutError) == (states.READY_STATES, TimeoutError)
    assert backend.supports_autoexpire == backend.capabilities.expires
    assert backend.app is app


def test_cleaning_up(backend: AppBackend) -> None:
    backend.mark_as_done("t", 1)
    assert backend.cleanup() == 0
    backend.process_cleanup()
    assert backend.get_result("t") == 1


def test_other_names_are_told(backend: AppBackend) -> None:
    with pytest.raises(AttributeError, match=r"app\.backend .* has no attribute 'client'"):
        backend.client  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(backend, "_private")


def test_a_driver_s_own_names_come_first(app: Celery) -> None:
    class Own(MemoryBackend):
        def get_state(self, task_id: str) -> str:
            return f"state of {task_id}"

        def __getattr__(self, name: str) -> Any:
            if name == "get_result":
                return lambda task_id: f"result of {task_id}"
            raise AttributeError(name)

    made: Any = Own("memory://own")
    backend: Any = backend_of(app, made)
    assert backend is made
    assert isinstance(backend, Own)
    assert (backend.get_state("t"), backend.get_result("t")) == ("state of t", "result of t")
    assert backend.get_status("t") == "PENDING"


def test_a_driver_with_slots_is_taken_too(app: Celery) -> None:
    class Slotted:
        __slots__ = ("url",)

        def load_many(self, task_ids: list[str]) -> dict[str, ResultRecord]:
            return {task_id: ResultRecord(task_id, "SUCCESS", 1) for task_id in task_ids}

    driver: Any = Slotted()
    assert backend_of(app, driver).get_result("t") == 1


@pytest.mark.parametrize(
    ("settings", "failures", "error"),
    [
        ({}, 1, OperationalError),
        ({"result_backend_always_retry": True}, 5, None),
        ({"result_backend_always_retry": True, "result_backend_max_retries": 2}, 2, None),
        ({"result_backend_always_retry": True, "result_backend_max_retries": 2}, 3, OperationalError),
    ],
)
def test_operations_are_repeated_when_told(
    unique_name: str, settings: dict[str, Any], failures: int, error: type[Exception] | None
) -> None:
    class Away(MemoryBackend):
        left = failures

        def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
            if self.left:
                self.left -= 1
                raise OperationalError("away")
            return super().load_many(task_ids)

    changes = {"result_backend_max_sleep_between_retries_ms": 1, **settings}
    with Celery("p", broker="memory://", changes=changes) as app:
        backend = backend_of(app, Away(f"memory://{unique_name}"))
        backend.mark_as_done("t", 1)
        if error is None:
            assert backend.get_result("t") == 1
        else:
            with pytest.raises(error, match="away"):
                backend.get_result("t")


def test_password_of_the_url_is_masked() -> None:
    with Celery("p", backend="redis://user:secret@localhost:1/0") as app:
        assert "secret" not in app.backend.as_uri()
        assert app.backend.as_uri(include_password=True) == "redis://user:secret@localhost:1/0"


def test_results_of_others_are_read(app: Celery, backend: AppBackend) -> None:
    backend.store_many([ResultRecord("t", "PROGRESS", {"done": 1}, extra={"name": "p.add"})])
    assert (backend.get_state("t"), backend.get_result("t"), backend.get_task_meta("t")["name"]) == (
        "PROGRESS", {"done": 1}, "p.add",
    )  # fmt: skip


def test_nothing_is_loaded_for_who_does_not_call_them() -> None:
    code = (
        "import sys; from celeriac import Celery; app = Celery('p', broker='memory://', backend='memory://');"
        "app.task(name='p.t')(lambda: 1).delay(); app.backend.load_many(['t']);"
        "assert 'celeriac.app.backend_calls' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_one_of_them_is_documented() -> None:
    members = {name: getattr(BackendCalls, name) for name in dir(BackendCalls) if not name.startswith("_")}
    assert [name for name, member in members.items() if callable(member) and not member.__doc__] == []
