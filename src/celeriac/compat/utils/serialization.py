"""Names of ``celery.utils.serialization``."""

from __future__ import annotations

from base64 import b64decode as base64decode
from base64 import b64encode as base64encode
from typing import Any

from celeriac.serialization.failures import UnpickleableExceptionWrapper, make_picklable, synthesised_class

__all__ = [
    "UnpickleableExceptionWrapper",
    "b64decode",
    "b64encode",
    "create_exception_cls",
    "get_pickleable_exception",
    "get_pickled_exception",
    "raise_with_context",
    "strtobool",
    "subclass_exception",
]

_TRUE = frozenset({"true", "yes", "1", "on", "t", "y"})
_FALSE = frozenset({"false", "no", "0", "off", "f", "n"})


def strtobool(term: Any, table: dict[str, bool] | None = None) -> Any:
    """True or False for a word that means it; what is no text is returned as it is.

    Raises:
        TypeError: The word means neither.
    """
    if not isinstance(term, str):
        return term
    word = term.lower()
    if table is not None and word in table:
        return table[word]
    if table is None and word in _TRUE | _FALSE:
        return word in _TRUE
    raise TypeError(f"{term!r} means neither true nor false")


def get_pickleable_exception(exc: BaseException) -> BaseException:
    """The exception, or one that stands for it, that survives pickling."""
    return make_picklable(exc)


def get_pickled_exception(exc: BaseException) -> BaseException:
    """Undo `get_pickleable_exception`."""
    return exc.restore() if isinstance(exc, UnpickleableExceptionWrapper) else exc


def subclass_exception(name: str, parent: type[BaseException], module: str) -> type[BaseException]:
    """A class of exceptions made from a name."""
    return type(name, (parent,), {"__module__": module})


def create_exception_cls(name: str, module: str, parent: type[BaseException] | None = None) -> type[BaseException]:
    """A class of exceptions that stands for one that is not known here."""
    return synthesised_class(name, module) if parent is None else subclass_exception(name, parent, module)


def b64encode(s: str | bytes) -> str:
    """Base64 as text."""
    return base64encode(s.encode() if isinstance(s, str) else s).decode()


def b64decode(s: str | bytes) -> bytes:
    """Undo `b64encode`."""
    return base64decode(s)


def raise_with_context(exc: BaseException) -> None:
    """Raise an exception with the one that is being handled as its cause; the same one is raised again.

    Raises:
        BaseException: It.
    """
    import sys

    handled = sys.exc_info()[1]
    if handled is None or handled is exc:
        raise exc
    raise exc from handled
