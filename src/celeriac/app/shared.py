"""Tasks and names that are not tied to one app: ``shared_task``, ``current_app``, ``current_task``."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from celeriac.current import get_current_app, get_current_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.app.task import Task

__all__ = ["Proxy", "apps", "shared_task"]

P = ParamSpec("P")
R = TypeVar("R")

#: Apps that exist.
apps: weakref.WeakSet[Any] = weakref.WeakSet()
#: Declarations that every app makes when it is finalized, by name: the first of a name wins.
declarations: dict[str, Callable[[Any], Any]] = {}


class Proxy:
    """Stands for an object that is looked up at each use.

    Args:
        look_up: Finds the object.
    """

    __slots__ = ("__weakref__", "_look_up")

    def __init__(self, look_up: Callable[[], Any]) -> None:
        object.__setattr__(self, "_look_up", look_up)

    def _get_current_object(self) -> Any:
        return object.__getattribute__(self, "_look_up")()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._get_current_object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._get_current_object(), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._get_current_object(), name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._get_current_object())

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._get_current_object().__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._get_current_object()(*args, **kwargs)

    def __bool__(self) -> bool:
        return bool(self._get_current_object())

    def __eq__(self, other: object) -> bool:
        return bool(self._get_current_object() == other)

    def __hash__(self) -> int:
        return hash(self._get_current_object())

    def __repr__(self) -> str:
        return repr(self._get_current_object())

    def __dir__(self) -> list[str]:
        return dir(self._get_current_object())

    def __reduce__(self) -> Any:
        return self._get_current_object().__reduce__()

    def __or__(self, other: Any) -> Any:
        return self._get_current_object() | other


@overload
def shared_task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def shared_task(**options: Any) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def shared_task(*args: Any, **options: Any) -> Any:
    """Declare a task in every app, present and future; for libraries that know no app.

    Args:
        *args: The function, when used without parentheses.
        **options: As for `Celery.task`.

    Returns:
        A proxy of the task in the current app.

    Raises:
        TypeError: Applied to something that is no function, or twice.
    """

    def declare(function: Any) -> Any:
        if isinstance(function, Proxy):
            raise TypeError("@shared_task was applied twice: remove one of them")
        if not callable(function):
            raise TypeError(f"@shared_task takes a function, got {function!r}")
        name = options.get("name")

        def declare_in(app: Celery) -> Any:
            return app.declare(function, **{**options, "shared": False, "copied": True})

        name = name or _automatic_name(function)
        declarations.setdefault(name, declare_in)
        for app in list(apps):
            if app.finalized:
                declare_in(app)

        def look_up() -> Any:
            app: Any = get_current_app()
            return app.tasks[options.get("name") or app.gen_task_name(function.__name__, function.__module__)]

        return Proxy(look_up)

    if len(args) == 1 and callable(args[0]) and not options:
        return declare(args[0])
    if args:
        raise TypeError(f"@shared_task takes no positional arguments but the function, got {args!r}")
    return declare


def _automatic_name(function: Any) -> str:
    """Key of a declaration; its name in an app may differ for functions of ``__main__``."""
    return f"{function.__module__}.{function.__name__}"


current_app: Any = Proxy(get_current_app)
current_task: Any = Proxy(get_current_task)
