"""`Proxy` and `PromiseProxy`, as in ``celery.local``: objects that are looked up when they are used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from celeriac.app.shared import Proxy as OneLookup

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PromiseProxy", "Proxy", "maybe_evaluate", "try_import"]

_UNSET: Any = object()


class Proxy(OneLookup):
    """Stands for what a function returns, asked anew at each use.

    Args:
        local: The function.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        name: ``__name__`` of the proxy.
        __doc__: Its docstring.
    """

    __slots__ = ("_name",)

    def __init__(
        self,
        local: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        __doc__: str | None = None,
    ) -> None:
        super().__init__(lambda: local(*(args or ()), **(kwargs or {})))
        object.__setattr__(self, "_name", name)

    @property
    def __name__(self) -> str:
        name: str | None = object.__getattribute__(self, "_name")
        return self._get_current_object().__name__ if name is None else name

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return self._get_current_object().__dict__

    def __lt__(self, other: Any) -> Any:
        return self._get_current_object() < other

    def __gt__(self, other: Any) -> Any:
        return self._get_current_object() > other

    def __le__(self, other: Any) -> Any:
        return self._get_current_object() <= other

    def __ge__(self, other: Any) -> Any:
        return self._get_current_object() >= other

    def __str__(self) -> str:
        return str(self._get_current_object())

    def __len__(self) -> int:
        return len(self._get_current_object())

    def __getitem__(self, key: Any) -> Any:
        return self._get_current_object()[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._get_current_object()[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._get_current_object()[key]

    def __iter__(self) -> Any:
        return iter(self._get_current_object())

    def __contains__(self, item: Any) -> bool:
        return item in self._get_current_object()

    def __enter__(self) -> Any:
        return self._get_current_object().__enter__()

    def __exit__(self, *exc_info: object) -> Any:
        return self._get_current_object().__exit__(*exc_info)


class PromiseProxy(Proxy):
    """A `Proxy` that asks once, and calls what was given to `__then__`."""

    __slots__ = ("_pending", "_value")

    def _get_current_object(self) -> Any:
        return self.__evaluate__()

    def __evaluated__(self) -> bool:
        """Whether it was asked already."""
        return self._peek() is not _UNSET

    def _peek(self) -> Any:
        try:
            return object.__getattribute__(self, "_value")
        except AttributeError:
            return _UNSET

    def __then__(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function when it is evaluated, or now if it was."""
        if self.__evaluated__():
            return callback(*args, **kwargs)
        try:
            pending = object.__getattribute__(self, "_pending")
        except AttributeError:
            pending = []
            object.__setattr__(self, "_pending", pending)
        pending.append((callback, args, kwargs))
        return None

    def __maybe_evaluate__(self) -> Any:
        """The object; it is looked up if it was not yet."""
        return self._get_current_object()

    def __evaluate__(self) -> Any:
        """The object."""
        value = self._peek()
        if value is _UNSET:
            value = object.__getattribute__(self, "_look_up")()
            object.__setattr__(self, "_value", value)
            try:
                pending = object.__getattribute__(self, "_pending")
            except AttributeError:
                pending = []
            while pending:
                callback, args, kwargs = pending.pop(0)
                callback(*args, **kwargs)
        return value


def maybe_evaluate(obj: Any) -> Any:
    """The object behind a `PromiseProxy`; anything else as it is."""
    evaluate = getattr(obj, "__maybe_evaluate__", None)
    return obj if evaluate is None else evaluate()


def try_import(module: str, default: Any = None) -> Any:
    """A module, or something else where it cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return default
