"""Stored exceptions; written and rebuilt forms were observed with Celery 5.7.0 unless the name says otherwise."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import sys
import threading
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac import exceptions
from celeriac.exceptions import DecodeError, ImproperlyConfigured, SecurityError
from celeriac.serialization import registry
from celeriac.serialization.failures import (
    UnpickleableExceptionWrapper,
    decode_exception,
    encode_exception,
    make_picklable,
    remote_traceback,
)


class Local(Exception):
    pass


class Outer:
    class Inner(ValueError):
        pass


class TwoArgs(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}-{b}")


class Locked(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class LockedValueError(ValueError):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Shown:
    def __repr__(self) -> str:
        return "<O>"


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the test runner calls this module, its classes are found under their ``__module__``."""
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())


def _this_module() -> types.ModuleType:
    module = types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


WRITTEN: list[tuple[BaseException, str, list[Any], str]] = [
    (ValueError("bad", 3), "ValueError", ["bad", 3], "builtins"),
    (KeyError("k"), "KeyError", ["k"], "builtins"),
    (Local("x"), "Local", ["x"], __name__),
    (Outer.Inner("y"), "Outer.Inner", ["y"], __name__),
    (OSError(2, "No such", "f"), "FileNotFoundError", [2, "No such"], "builtins"),
    (SystemExit(3), "SystemExit", [3], "builtins"),
    (KeyboardInterrupt(), "KeyboardInterrupt", [], "builtins"),
    (exceptions.MaxRetriesExceededError("m"), "MaxRetriesExceededError", ["m"], "celery.exceptions"),
    (exceptions.TimeoutError("t"), "TimeoutError", ["t"], "celery.exceptions"),
    (exceptions.NotRegistered("n"), "NotRegistered", ["n"], "celery.exceptions"),
    (exceptions.Reject("r", True), "Reject", ["r", True], "celery.exceptions"),
    (exceptions.TaskRevokedError("revoked"), "TaskRevokedError", ["revoked"], "celery.exceptions"),
    (exceptions.BackendGetMetaError("b", task_id="1"), "BackendGetMetaError", ["b"], "celery.exceptions"),
    (exceptions.SecurityError("s"), "SecurityError", ["s"], "celery.exceptions"),
    (exceptions.WorkerLostError("w"), "WorkerLostError", ["w"], "billiard.exceptions"),
    (exceptions.SoftTimeLimitExceeded(), "SoftTimeLimitExceeded", [], "billiard.exceptions"),
    (exceptions.TimeLimitExceeded(3), "TimeLimitExceeded", [3], "billiard.exceptions"),
    (exceptions.Terminated(9), "Terminated", [9], "billiard.exceptions"),
    (exceptions.OperationalError("o"), "OperationalError", ["o"], "kombu.exceptions"),
    (exceptions.EncodeError("e"), "EncodeError", ["e"], "kombu.exceptions"),
    (exceptions.ContentDisallowed("c"), "ContentDisallowed", ["c"], "kombu.exceptions"),
    # Celery has no such class: its peers make one up.
    (exceptions.SessionLost("l"), "SessionLost", ["l"], "celeriac.exceptions"),
]


@pytest.mark.parametrize(("exc", "name", "args", "module"), WRITTEN)
def test_exceptions_are_written_under_the_names_of_celery_and_come_back(
    exc: BaseException, name: str, args: list[Any], module: str
) -> None:
    stored = encode_exception(exc)
    assert stored == {"exc_type": name, "exc_message": args, "exc_module": module}
    assert list(stored) == ["exc_type", "exc_message", "exc_module"]
    again = decode_exception(json.loads(json.dumps(stored)))
    assert type(again) is type(exc)
    assert again is not None
    assert again.args == exc.args


def test_every_public_exception_has_a_wire_name() -> None:
    for name in exceptions.__all__:
        cls = getattr(exceptions, name)
        if isinstance(cls, type) and name != "CeleryCommandException":
            stored = encode_exception(cls("x"))
            assert type(decode_exception(stored)) is cls


def test_arguments_json_cannot_carry_are_replaced_by_their_repr() -> None:
    exc = ValueError(
        Shown(), b"x", datetime.datetime(2026, 1, 2), decimal.Decimal(1), (1, 2), {1}, {"a": Shown()}, [Shown()]
    )
    stored = json.loads(registry.dumps(encode_exception(exc), "json")[2])
    assert stored["exc_message"] == [
        "<O>",
        {"__type__": "bytes", "__value__": "x"},
        {"__type__": "datetime", "__value__": "2026-01-02T00:00:00"},
        {"__type__": "decimal", "__value__": "1"},
        [1, 2],
        "{1}",
        "{'a': <O>}",
        "[<O>]",
    ]


@pytest.mark.parametrize("serializer", ["json", "yaml", "msgpack"])
def test_the_stored_form_can_be_carried_by_the_serializer_it_is_for(serializer: str) -> None:
    stored = encode_exception(ValueError(Shown(), Broken(), decimal.Decimal(1), {1}), serializer)
    content_type, encoding, data = registry.dumps(stored, serializer)
    again = decode_exception(registry.loads(data, content_type, encoding, {content_type}))
    assert isinstance(again, ValueError)
    assert again.args[0] == "<O>"
    assert "Unrepresentable" in again.args[1]


def test_a_retry_keeps_its_reason_as_text() -> None:
    again = decode_exception(encode_exception(exceptions.Retry("msg", ValueError("x"), 3)))
    assert isinstance(again, exceptions.Retry)
    assert (again.excs, again.when) == ("ValueError('x')", 3)


@pytest.mark.parametrize("message", ["x", ["x"], ("x",)])
def test_a_class_unknown_here_is_made_up(message: Any) -> None:
    exc = decode_exception({"exc_type": "Foo", "exc_message": message, "exc_module": "nope.mod"})
    assert isinstance(exc, Exception)
    assert type(exc).__name__ == "Foo"
    assert type(exc).__module__ == "celeriac.exceptions"
    assert exc.args == ("x",)


def test_a_made_up_class_is_the_same_each_time_and_stored_under_its_origin() -> None:
    stored = {"exc_type": "Foo.Bar", "exc_message": ["x"], "exc_module": "nope.mod"}
    exc = decode_exception(stored)
    assert exc is not None
    assert type(exc) is type(decode_exception(stored))
    assert type(exc).__qualname__ == "Foo.Bar"
    assert encode_exception(exc) == stored


def test_an_unknown_name_of_a_celery_module_is_made_up() -> None:
    exc = decode_exception({"exc_type": "Thing", "exc_message": ["t"], "exc_module": "celery.exceptions"})
    assert repr(exc) == "Thing('t')"


@pytest.mark.parametrize("module", [None, "celery.backends.base"])
def test_without_a_module_the_class_is_made_up(module: str | None) -> None:
    exc = decode_exception({"exc_type": "Nope", "exc_message": ["a"], "exc_module": module})
    assert repr(exc) == "Nope('a')"


def test_decoding_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    decode_exception({"exc_type": "X", "exc_message": [], "exc_module": "this"})
    assert "this" not in sys.modules


def test_decoding_calls_no_module_getattr(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy: Any = types.ModuleType("lazy_module")
    called: list[str] = []
    lazy.__getattr__ = called.append
    monkeypatch.setitem(sys.modules, "lazy_module", lazy)
    decode_exception({"exc_type": "X", "exc_message": [], "exc_module": "lazy_module"})
    assert called == []


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("builtins", "eval"), ("builtins", "int"), ("os", "path.join"), (__name__, "Outer")],
)
def test_a_name_that_is_no_exception_class_is_a_security_error(module: str, name: str) -> None:
    with pytest.raises(SecurityError, match=rf"Expected an exception class, got {module}\.{name} with payload"):
        decode_exception({"exc_type": name, "exc_message": ["true"], "exc_module": module})


def test_a_constructor_that_refuses_the_arguments_gives_a_plain_exception() -> None:
    exc = decode_exception(encode_exception(TwoArgs(1, 2)))
    assert type(exc) is Exception
    assert str(exc) == f"{TwoArgs}(['1-2'])"


@pytest.mark.parametrize(
    ("message", "args"), [("single", ("single",)), (None, (None,)), (5, (5,)), ({"a": 1}, ({"a": 1},)), ([], ())]
)
def test_a_message_that_is_no_list_is_the_only_argument(message: Any, args: tuple[Any, ...]) -> None:
    exc = decode_exception({"exc_type": "ValueError", "exc_message": message, "exc_module": "builtins"})
    assert isinstance(exc, ValueError)
    assert exc.args == args


def test_nothing_stored_is_no_exception() -> None:
    assert decode_exception(None) is None
    assert decode_exception({}) is None


@pytest.mark.parametrize(
    "payload",
    ["str", ["l"], 5, {"exc_message": ["a"]}, {"exc_type": 5}, {"exc_type": "X", "exc_module": ["m"]}],
)
def test_another_shape_raises_a_decode_error(payload: Any) -> None:
    with pytest.raises(DecodeError, match="a stored exception"):
        decode_exception(payload)


JUNK = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)


@given(JUNK, JUNK, st.one_of(JUNK, st.sampled_from(["builtins", "os", "celery.exceptions", "kombu.exceptions"])))
def test_junk_raises_the_documented_errors_only(name: Any, message: Any, module: Any) -> None:
    try:
        decoded = decode_exception({"exc_type": name, "exc_message": message, "exc_module": module})
    except (DecodeError, SecurityError):
        return
    assert isinstance(decoded, BaseException)


def test_an_exception_that_survives_pickling_is_kept() -> None:
    exc = Local("l")
    assert encode_exception(exc, "pickle") is exc


def test_the_nearest_picklable_base_stands_for_an_exception() -> None:
    found = make_picklable(LockedValueError("b"))
    assert type(found) is ValueError
    assert found.args == ("b",)


@pytest.mark.parametrize("exc", [Locked("a"), TwoArgs(1, 2)])
def test_without_such_a_base_a_wrapper_remembers_the_class(exc: Exception) -> None:
    wrapper = make_picklable(exc)
    assert isinstance(wrapper, UnpickleableExceptionWrapper)
    assert wrapper.exc_args == exc.args
    assert str(pickle.loads(pickle.dumps(wrapper))) == repr(exc)


def test_a_wrapper_restores_the_class_where_it_is_known() -> None:
    wrapper = pickle.loads(pickle.dumps(make_picklable(Locked("a"))))
    again = decode_exception(wrapper)
    assert type(again) is Locked
    assert again.args == ("a",)


def test_a_wrapper_is_made_up_where_the_class_is_unknown() -> None:
    again = decode_exception(UnpickleableExceptionWrapper("nope.mod", "Foo", ("a",), "Foo('a')"))
    assert repr(again) == "Foo('a')"


def test_unpicklable_arguments_are_replaced_by_their_repr() -> None:
    lock = threading.Lock()
    wrapper = make_picklable(KeyError("k", lock))
    assert isinstance(wrapper, UnpickleableExceptionWrapper)
    assert wrapper.exc_args == ("k", repr(lock))


def test_a_wrapper_is_stored_in_json_as_what_it_stands_for() -> None:
    assert encode_exception(make_picklable(Locked("a"))) == {
        "exc_type": "Locked",
        "exc_message": ["a"],
        "exc_module": __name__,
    }


def test_a_remote_traceback_has_the_frames_of_its_text() -> None:
    text = 'Traceback (most recent call last):\n  File "tasks.py", line 3, in add\n    return x\nValueError: bad\n'
    traceback = remote_traceback(text)
    assert traceback is not None
    assert traceback.tb_frame.f_code.co_name == "add"
    assert remote_traceback("no traceback") is None


def test_remote_tracebacks_name_the_extra_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tblib", None)
    with pytest.raises(ImproperlyConfigured, match=r"task_remote_tracebacks.*celeriac\[tblib\]"):
        remote_traceback("x")
