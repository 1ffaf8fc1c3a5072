"""`made_once`: an attribute computed at its first use.  Forgetting it again is up to its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["made_once"]

T = TypeVar("T")


class made_once(Generic[T]):  # noqa: N801 - a decorator
    """Call the function once, under the owner's ``lock``, and keep the value as an instance attribute.

    The instance attribute hides this descriptor: reading it costs what any attribute costs. Deleting it from the
    instance's ``__dict__`` makes the value again.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> made_once[T]: ...

    @overload
    def __get__(self, instance: Any, owner: type[Any]) -> T: ...

    def __get__(self, instance: Any, owner: type[Any]) -> made_once[T] | T:
        if instance is None:
            return self
        with instance.lock:
            namespace = instance.__dict__
            if self._name not in namespace:
                namespace[self._name] = self._function(instance)
            return namespace[self._name]  # type: ignore[no-any-return]
