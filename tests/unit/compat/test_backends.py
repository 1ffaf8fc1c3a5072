"""What stores of third parties inherit, call and override; what results they keep is in the contract."""

from __future__ import annotations

import importlib
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, states
from celeriac.compat import backends
from celeriac.compat.backends.forms import Address
from celeriac.current import Context
from celeriac.exceptions import ImproperlyConfigured, OperationalError, TaskRevokedError
from tests.support.written_for_celery import FileStore

if TYPE_CHECKING:
    from pathlib import Path

PATH = "tests.support.written_for_celery:FileStore"


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    app = Celery("stored", set_as_current=False, backend=f"{PATH}+file://{tmp_path}", celery_defaults=True)
    found: Any = app.backend
    return found  # type: ignore[no-any-return]


def test_a_class_is_named_by_its_path_with_or_without_a_url(store: FileStore, tmp_path: Path) -> None:
    assert isinstance(store, FileStore)
    assert store.directory == tmp_path
    named: object = Celery(set_as_current=False, backend="tests.unit.compat.test_backends.Plain").backend
    assert isinstance(named, Plain)
    assert named.as_uri() == "tests.unit.compat.test_backends:Plain"


class Plain(backends.BaseBackend):
    """Keeps nothing."""


class Refusing(FileStore):
    """Fails once."""

    refusals = 1

    def set(self, key: bytes, value: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OperationalError("not now")
        super().set(key, value)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        return isinstance(exc, OperationalError)


@pytest.mark.parametrize(
    "path", ["nothing_of_this_name:Store", "tests.unit.compat.test_backends:Nothing", "json:dumps"]
)
def test_what_is_no_backend_is_refused(path: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=path):
        _ = Celery(set_as_current=False, backend=path).backend


def test_names_of_celery_are_there(door: None) -> None:
    module: Any = importlib.import_module("celery.backends.base")
    assert module.KeyValueStoreBackend is backends.KeyValueStoreBackend
    assert issubclass(module.BaseDictBackend, module.SyncBackendMixin)


def test_passwords_are_not_shown() -> None:
    url = Address("redis://:secret@there/0")
    assert "secret" not in f"{url} {url!r} {url}" + "%s" % url  # noqa: UP031
    assert url.partition("@")[0] == "redis://:secret"
    app = Celery(set_as_current=False)
    plain = Plain(app=app, url="redis://:secret@there/0")
    assert "secret" not in plain.as_uri()
    assert plain.as_uri(include_password=True) == "redis://:secret@there/0"


def test_states_are_stored_and_read_by_the_calls_of_celery(store: FileStore) -> None:
    assert store.get_state("t") == states.PENDING
    store.mark_as_started("t", pid=1)
    assert (store.get_status("t"), store.get_result("t")) == (states.STARTED, {"pid": 1})
    store.mark_as_retry("t", KeyError("later"))
    assert isinstance(store.get_result("t"), KeyError)
    store.mark_as_done("t", [1, 2])
    store.mark_as_failure("t", ValueError("too late"))
    assert (store.get_state("t"), store.get_result("t")) == (states.SUCCESS, [1, 2])
    store.mark_as_revoked("r", "terminated")
    assert isinstance(store.get_result("r"), TaskRevokedError)
    store.forget("t")
    assert not store.task_result_exists("t")


def test_chord_parts_are_told_to_subclasses_that_count(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(type(store), "on_chord_part_return", lambda self, *args, **_: told.append(args[1:]))
    request = Context(id="t", chord={"task": "body"}, group="g")
    store.mark_as_done("t", 3, request=request)
    store.mark_as_failure("u", KeyError(4), request=request, call_errbacks=False)
    assert [(state, repr(result)) for state, result in told] == [("SUCCESS", "3"), ("FAILURE", "KeyError(4)")]


def test_the_result_of_a_task_is_waited_for(store: FileStore) -> None:
    store.mark_as_done("t", 5)
    assert store.wait_for("t", timeout=10)["result"] == 5
    assert dict(store.get_many(["t"], timeout=10))["t"]["result"] == 5
    assert store.app.AsyncResult("t").get(timeout=10) == 5


def test_operations_are_repeated_where_that_is_safe_and_wanted(tmp_path: Path) -> None:
    with pytest.raises(OperationalError):
        Refusing(app=Celery(set_as_current=False), url=f"file://{tmp_path}").mark_as_done("t", 1)
    app = Celery(set_as_current=False, result_backend_always_retry=True)
    store = Refusing(app=app, url=f"file://{tmp_path}")
    store.mark_as_done("t", 1)
    assert store.get_result("t") == 1


def test_keys_have_the_prefix_of_the_settings(tmp_path: Path) -> None:
    app = Celery(set_as_current=False, result_backend_transport_options={"global_keyprefix": "mine"})
    store = FileStore(app=app, url=f"file://{tmp_path}")
    assert store.get_key_for_task("t") == b"mine_celery-task-meta-t"
    assert store.get_key_for_group("g", "-x") == b"mine_celery-taskset-meta-g-x"
    assert store._strip_prefix(store.get_key_for_task("t")) == "t"
    with pytest.raises(ValueError, match="id"):
        store.get_key_for_task("")


def test_what_a_subclass_lacks_names_it() -> None:
    plain = Plain(app=Celery(set_as_current=False))
    with pytest.raises(NotImplementedError, match="Plain has to define _store_result"):
        plain.mark_as_done("t", 1)
    with pytest.raises(NotImplementedError, match="chord"):
        plain.open_chord("c", 1)


def test_a_backend_is_pickled_as_its_class(store: FileStore) -> None:
    store.app.set_current()
    copy = pickle.loads(pickle.dumps(Plain(app=store.app, expires=10)))
    assert (type(copy), copy.expires) == (Plain, 10)
