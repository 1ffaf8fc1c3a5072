"""Names of ``celery.utils.objects``."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Bunch", "FallbackContext", "cached_property", "getitem_property", "mro_lookup"]


class Bunch:
    """An object with the attributes that it is given."""

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__.update(kwargs)


def mro_lookup(cls: type, attr: str, stop: Any = None, monkey_patched: Any = None) -> type | None:
    """The first class in the order of inheritance that defines an attribute.

    Args:
        cls: Where to begin.
        attr: Name of the attribute.
        stop: Classes at which to end without an answer.
        monkey_patched: Modules whose functions do not count where a class of ``stop`` defines them.
    """
    stop = () if stop is None else stop
    for node in cls.__mro__:
        if node in stop:
            module = getattr(node.__dict__.get(attr), "__module__", None)
            if module is None or module in (monkey_patched or ()):
                return None
            return node if attr in node.__dict__ else None
        if attr in node.__dict__:
            return node
    return None


class FallbackContext:
    """Gives an object that is there, or makes one for the time of a ``with`` block.

    Args:
        provided: The object; None makes one.
        fallback: A function that returns a context manager.
        *fb_args: Its positional arguments.
        **fb_kwargs: Its keyword arguments.
    """

    def __init__(self, provided: Any, fallback: Callable[..., Any], *fb_args: Any, **fb_kwargs: Any) -> None:
        self.provided = provided
        self._make: Callable[[], Any] = partial(fallback, *fb_args, **fb_kwargs)
        self._context: Any = None

    def __enter__(self) -> Any:
        if self.provided is not None:
            return self.provided
        self._context = self._make()
        return self._context.__enter__()

    def __exit__(self, *exc_info: object) -> Any:
        return None if self._context is None else self._context.__exit__(*exc_info)


class getitem_property:  # noqa: N801 - Celery's name
    """An attribute that is kept as an item, ``a.b`` being the item b of the item a.

    Args:
        keypath: Where.
        doc: Docstring.
    """

    def __init__(self, keypath: str, doc: str | None = None) -> None:
        path, _, self.key = keypath.rpartition(".")
        self.path = path.split(".") if path else []
        self.__doc__ = doc

    def _holder(self, obj: Any) -> Any:
        for key in self.path:
            obj = obj[key]
        return obj

    def __get__(self, obj: Any, type: Any = None) -> Any:
        return self if obj is None else self._holder(obj).get(self.key)

    def __set__(self, obj: Any, value: Any) -> None:
        self._holder(obj)[self.key] = value
