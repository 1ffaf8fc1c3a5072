"""Exceptions and their stored form.  Results as a whole, and tracebacks as text, are the backend's matter.

The stored form is Celery's: ``{"exc_type": qualified name, "exc_message": [arguments], "exc_module": name}``;
where the serializer is pickle, the exception object itself.
"""

from __future__ import annotations

import functools
import pickle
import sys
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import DecodeError, SecurityError, SerializationError
from celeriac.serialization.serializers import registry
from celeriac.serialization.wire_names import own_exception, wire_module
from celeriac.utils.imports import import_optional

if TYPE_CHECKING:
    from types import TracebackType

#: Module of classes made up for exceptions this process does not know.
_HOME = "celeriac.exceptions"
#: Bases too general to stand for an exception that cannot be pickled.
_TOO_GENERAL = frozenset({Exception, BaseException, object})


def encode_exception(exc: BaseException, serializer: str = "json") -> dict[str, Any] | BaseException:
    """The form of an exception that `serializer` can carry.

    Args:
        exc: The exception.
        serializer: Name of the result serializer. ``pickle`` gets an exception, the others a dict; arguments
            that the serializer cannot carry are replaced by their repr.
    """
    if serializer in ("pickle", "application/x-python-serialize"):
        return make_picklable(exc)
    if isinstance(exc, UnpickleableExceptionWrapper):
        return {
            "exc_type": exc.exc_cls_name,
            "exc_message": list(exc.exc_args),
            "exc_module": exc.exc_module,
        }
    cls = type(exc)
    return {
        "exc_type": cls.__qualname__,
        "exc_message": _portable_args(exc.args, serializer),
        "exc_module": getattr(cls, "__wire_module__", None) or wire_module(cls.__module__, cls.__qualname__),
    }


def decode_exception(payload: Any) -> BaseException | None:
    """Make the exception again from its stored form.

    A class is used only when its module is already imported here; else a class of the same name is made up.

    Args:
        payload: What `encode_exception` returned, or None.

    Returns:
        The exception; ``Exception("<class>(arguments)")`` when its constructor does not take the arguments;
        None for None and an empty dict.

    Raises:
        SecurityError: The name belongs to something that is not an exception class.
        DecodeError: The payload has another shape.
    """
    if isinstance(payload, UnpickleableExceptionWrapper):
        return payload.restore()
    if isinstance(payload, BaseException):
        return payload
    if payload is None or payload == {}:
        return None
    if not isinstance(payload, dict):
        raise DecodeError(f"a stored exception must be a dict, not {type(payload).__name__}: {payload!r:.200}")
    name, module = payload.get("exc_type"), payload.get("exc_module")
    if not isinstance(name, str) or not isinstance(module, (str, type(None))):
        raise DecodeError(f"a stored exception needs the exception type as text: {payload!r:.200}")
    message = payload.get("exc_message", "")
    cls = _find_class(module, name, message)
    args = message if isinstance(message, (list, tuple)) else (message,)
    try:
        return cls(*args)
    except Exception:
        return Exception(f"{cls}({message})")


def _portable_args(args: tuple[Any, ...], serializer: str) -> list[Any]:
    if _can_carry(args, serializer):
        return list(args)
    return [arg if _can_carry(arg, serializer) else _safe_repr(arg) for arg in args]


def _can_carry(value: Any, serializer: str) -> bool:
    try:
        registry.dumps(value, serializer)
    except SerializationError:
        return False
    return True


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)
    except Exception as exc:
        return f"<Unrepresentable {type(value)!r}: {type(exc).__name__}>"


def _find_class(module: str | None, name: str, message: Any) -> type[BaseException]:
    if module is None:
        return synthesised_class(name, _HOME)
    ours = own_exception(module, name)
    if ours is not None:
        return ours
    found: Any = sys.modules.get(module)
    # Through __dict__: a module's __getattr__ could import something.
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    if found is None:
        return synthesised_class(name, module)
    if not isinstance(found, type) or not issubclass(found, BaseException):
        raise SecurityError(f"Expected an exception class, got {module}.{name} with payload {message!r:.200}")
    return found


@functools.lru_cache(maxsize=512)
def synthesised_class(name: str, module: str) -> type[Exception]:
    """A class that stands for one unknown here; it is stored under its original module again."""
    return type(
        name.rpartition(".")[2],
        (Exception,),
        {"__module__": _HOME, "__qualname__": name, "__wire_module__": module},
    )


def _survives_pickle(exc: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(exc, pickle.HIGHEST_PROTOCOL))  # noqa: S301 -- our own bytes
    except Exception:
        return False
    return True


def make_picklable(exc: BaseException) -> BaseException:
    """The exception itself if it survives pickling; else its nearest base that does; else a wrapper."""
    if _survives_pickle(exc):
        return exc
    for base in type(exc).__mro__[1:]:
        if base in _TOO_GENERAL or not issubclass(base, BaseException):
            continue
        try:
            candidate = base(*exc.args)
        except Exception:  # noqa: S112 -- another base may take these arguments
            continue
        if _survives_pickle(candidate):
            return candidate
    return UnpickleableExceptionWrapper.from_exception(exc)


class UnpickleableExceptionWrapper(Exception):
    """Stands for an exception that cannot be pickled.

    Args:
        exc_module: Module of its class.
        exc_cls_name: Qualified name of its class.
        exc_args: Its arguments, by repr where they cannot be pickled.
        text: Its repr.
    """

    def __init__(self, exc_module: str, exc_cls_name: str, exc_args: Any, text: str | None = None) -> None:
        self.exc_module = exc_module
        self.exc_cls_name = exc_cls_name
        self.exc_args = tuple(exc_args)
        self.text = text
        super().__init__(exc_module, exc_cls_name, self.exc_args, text)

    @classmethod
    def from_exception(cls, exc: BaseException) -> UnpickleableExceptionWrapper:
        """Wrap `exc`."""
        kind = type(exc)
        module = getattr(kind, "__wire_module__", None) or kind.__module__
        return cls(module, kind.__qualname__, _portable_args(exc.args, "pickle"), _safe_repr(exc))

    def restore(self) -> BaseException:
        """An exception of the original class, or of one made up under its name."""
        cls = _find_class(self.exc_module, self.exc_cls_name, self.exc_args)
        try:
            return cls(*self.exc_args)
        except Exception:
            return Exception(f"{cls}({list(self.exc_args)})")

    def __str__(self) -> str:
        return self.text or super().__str__()


def remote_traceback(text: str) -> TracebackType | None:
    """A traceback object from the text of a remote one (``task_remote_tracebacks``).

    Returns:
        None when the text is not a traceback.

    Raises:
        ImproperlyConfigured: The package tblib is missing.
    """
    tblib = import_optional("tblib", extra="tblib", purpose="the setting task_remote_tracebacks")
    try:
        result: TracebackType = tblib.Traceback.from_string(text).as_traceback()
    except tblib.TracebackParseError:
        return None
    return result
