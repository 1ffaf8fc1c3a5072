"""From a function to a task: naming, the class made of a function, and deferral until the app is finalized.

A decorated name is the task itself, not a stand-in for it: until its first use its class is `PendingTask`, whose
every operation first turns it into what it is to be.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.app.task import Task
from celeriac.exceptions import ImproperlyConfigured, UnknownSettingWarning
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from celeriac.app.base import Celery
    from celeriac.app.validation import Validation

__all__ = [
    "Declaration",
    "PendingTask",
    "PydanticOptions",
    "is_same_function",
    "make_pending",
    "materialize",
    "pydantic_options",
]


class PydanticOptions(NamedTuple):
    """What ``@app.task(pydantic=True)`` was given.

    Attributes:
        strict: Validate without conversions.
        context: Given to validators, besides ``celery_app`` and ``celery_task_name``.
        dump_kwargs: Arguments of ``model_dump`` for the returned model.
    """

    strict: bool
    context: Mapping[str, Any]
    dump_kwargs: Mapping[str, Any]


def pydantic_options(title: str, options: dict[str, Any]) -> PydanticOptions | None:
    """Take the options about pydantic out of those of a task.

    Args:
        title: Name of the function, for messages.
        options: Options of the decorator; changed in place.

    Returns:
        None when the task does without.

    Raises:
        ImproperlyConfigured: There are such options without ``pydantic=True``, or there is no pydantic.
    """
    given = {key: options.pop(key) for key in list(options) if key.startswith("pydantic")}
    wanted = given.pop("pydantic", False)
    found = PydanticOptions(
        strict=bool(given.pop("pydantic_strict", False)),
        context=given.pop("pydantic_context", None) or {},
        dump_kwargs=given.pop("pydantic_dump_kwargs", None) or {},
    )
    if given:
        raise ImproperlyConfigured(f"Task {title!r} has the unknown options {sorted(given)}")
    if not wanted:
        extra = [f"pydantic_{key}" for key, value in found._asdict().items() if value]
        if extra:
            raise ImproperlyConfigured(f"Task {title!r} has {', '.join(extra)} without pydantic=True: add it")
        return None
    return found


class Declaration:
    """What ``@app.task`` was given.

    Attributes:
        app: The app.
        name: Name of the task.
        function: The decorated function.
        base: Base class, or None for the app's.
        bind: The function takes the task as its first argument.
        options: Attributes of the task.
        pydantic: How pydantic validates its arguments, or None.
    """

    __slots__ = ("app", "base", "bind", "function", "name", "options", "pydantic")

    def __init__(
        self,
        app: Celery,
        name: str,
        function: Callable[..., Any],
        base: type[Any] | None,
        bind: bool,
        options: Mapping[str, Any],
        pydantic: PydanticOptions | None = None,
    ) -> None:
        self.app = app
        self.name = name
        self.function = function
        self.base = base
        self.bind = bind
        self.options = options
        self.pydantic = pydantic

    def make_class(self) -> type[Any]:
        """The class whose only instance the task is."""
        function = self.function
        base = self.base or self.app.Task
        self._check_spelling(base)
        attributes: dict[str, Any] = {
            "name": self.name,
            "run": function if self.bind else staticmethod(function),
            "abstract": False,
            "__module__": function.__module__,
            "__doc__": function.__doc__,
            **self.options,
        }
        if self.pydantic is not None:
            attributes.update(self._validated(self.pydantic))
        return type(function.__name__, (base,), attributes)

    def _check_spelling(self, base: type[Any]) -> None:
        """Warn of options that are no attributes of the class and look like a slip of one; others are the user's."""
        for key in self.options:
            meant = None if hasattr(base, key) else closest(key, [name for name in dir(base) if name[0] != "_"])
            if meant is not None:
                warnings.warn(
                    f"Task {self.name!r} has the unknown option {key}={self.options[key]!r}; did you mean {meant}? "
                    "It becomes an attribute of the task, and changes nothing in Celeriac.",
                    UnknownSettingWarning,
                    stacklevel=2,
                )

    def _validated(self, options: PydanticOptions) -> dict[str, Any]:
        """The attributes of a task whose arguments pydantic validates."""
        validation = load_validation(self.function.__name__)(self.function, options, self.app, self.name)
        wrapped = validation.wrap()
        return {
            "run": wrapped if self.bind else staticmethod(wrapped),
            # Arguments of calls are checked against the function itself.
            "_body": self.function if self.bind else staticmethod(self.function),
            "_validation": validation,
            "binds_itself": self.bind,
        }


def load_validation(title: str) -> type[Validation]:
    """What makes use of pydantic.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    try:
        module = import_module("celeriac.app.validation")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] != "pydantic":
            raise
        raise ImproperlyConfigured(
            f"Task {title!r} has pydantic=True, and pydantic is not installed: pip install 'celeriac[pydantic]'"
        ) from exc
    validation: type[Validation] = module.Validation
    return validation


class PendingTask(Task[..., Any]):
    """A task before its first use."""

    def __getattribute__(self, name: str) -> Any:
        return getattr(materialize(self), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(materialize(self), name, value)

    def __delattr__(self, name: str) -> None:
        delattr(materialize(self), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return materialize(self)(*args, **kwargs)

    def __repr__(self) -> str:
        return repr(materialize(self))


def make_pending(declaration: Declaration) -> Any:
    """A task that becomes itself at its first use."""
    pending = object.__new__(PendingTask)
    object.__getattribute__(pending, "__dict__")["_declaration"] = declaration
    return pending


def declaration_of(task: Any) -> Declaration | None:
    """What a pending task will be made of; None for a task in use."""
    found: Declaration | None = object.__getattribute__(task, "__dict__").get("_declaration")
    return found


def materialize(task: Any) -> Any:
    """Turn a pending task into what it is to be; returns it."""
    declaration = declaration_of(task)
    if declaration is None:
        return task
    app = declaration.app
    with app.finalize_lock:
        if type(task) is not PendingTask:
            return task
        _become(task, declaration)
        app.adopt(task)
    return task


def _become(task: Any, declaration: Declaration) -> None:
    cls = declaration.make_class()
    try:
        object.__setattr__(task, "__class__", cls)
    except TypeError as exc:
        raise ImproperlyConfigured(
            f"Task {declaration.name!r} cannot have the base class {declaration.base!r}: classes of tasks must not "
            f"define __slots__ ({exc})"
        ) from exc
    namespace = task.__dict__
    namespace.pop("_declaration")
    function = declaration.function
    namespace["__wrapped__"] = function
    for name in ("__name__", "__qualname__", "__doc__", "__annotations__"):
        namespace[name] = getattr(function, name, None)
    task.__init__()


def is_same_function(one: Any, other: Any) -> bool:
    """Whether two functions come from the same place, as when a module is imported under two names."""
    if one is other:
        return True
    mine, theirs = getattr(one, "__code__", None), getattr(other, "__code__", None)
    if mine is None or theirs is None:
        return False
    return bool((mine.co_filename, mine.co_qualname) == (theirs.co_filename, theirs.co_qualname))
