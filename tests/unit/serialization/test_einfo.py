"""What handlers see of a failure, before and after it crosses a process boundary."""

from __future__ import annotations

import pickle
import threading

import pytest

from celeriac.serialization.einfo import ExceptionInfo
from celeriac.serialization.failures import UnpickleableExceptionWrapper


def failure() -> ExceptionInfo:
    try:
        return 1 / 0  # type: ignore[return-value]
    except ZeroDivisionError:
        return ExceptionInfo()


def test_it_describes_the_exception_being_handled() -> None:
    info = failure()
    assert info.type is ZeroDivisionError
    assert isinstance(info.exception, ZeroDivisionError)
    assert info.tb is info.exception.__traceback__
    assert info.internal is False
    assert info.exc_info == (info.type, info.exception, info.tb)


def test_its_text_is_the_traceback() -> None:
    info = failure()
    assert str(info) == info.traceback
    assert info.traceback.startswith("Traceback (most recent call last):\n")
    assert info.traceback.endswith("ZeroDivisionError: division by zero\n")
    assert repr(info) == "<ExceptionInfo: ZeroDivisionError('division by zero')>"


def test_it_keeps_its_text_when_pickled() -> None:
    info = failure()
    info.internal = True
    again = pickle.loads(pickle.dumps(info))
    assert again.traceback == info.traceback
    assert again.type is ZeroDivisionError
    assert again.internal is True
    assert again.tb is None


def test_it_is_pickled_even_if_the_exception_cannot_be() -> None:
    exc = KeyError(threading.Lock())
    again = pickle.loads(pickle.dumps(ExceptionInfo.from_exception(exc)))
    assert isinstance(again.exception, UnpickleableExceptionWrapper)


def test_it_takes_the_text_of_another_process() -> None:
    info = ExceptionInfo.from_exception(ValueError("x"), "remote text")
    assert str(info) == "remote text"


def test_it_needs_an_exception() -> None:
    with pytest.raises(ValueError, match="exc_info"):
        ExceptionInfo()


def test_a_broken_text_of_the_exception_is_survived() -> None:
    class Broken(Exception):
        @property
        def __cause__(self) -> BaseException:  # type: ignore[override]
            raise RuntimeError

    try:
        raise Broken
    except Broken:
        info = ExceptionInfo()
    assert "Broken" in info.traceback
