"""How an app comes to its tasks: decorators, classes, discovery, periodic entries.  It calls none of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, cast, overload

from celeriac import signals
from celeriac.app import shared as shared_tasks
from celeriac.app.declaration import (
    Declaration,
    declaration_of,
    is_same_function,
    load_validation,
    make_pending,
    materialize,
    pydantic_options,
)
from celeriac.app.discovery import discover
from celeriac.app.made_once import made_once
from celeriac.app.options import check_limits
from celeriac.app.registry import TaskRegistry
from celeriac.app.resources import Resources
from celeriac.exceptions import DuplicateTaskNameWarning, ImproperlyConfigured
from celeriac.utils.imports import gen_task_name, import_from_cwd, symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

    from celeriac.app.base import Celery
    from celeriac.app.task import Task as TaskBase
    from celeriac.signals import Signal

__all__ = ["Declaring", "make_registry"]

P = ParamSpec("P")
R = TypeVar("R")


class Declaring(Resources):
    """The part of `Celery` that declares and registers tasks.

    Attributes:
        autofinalize: Finalize when `tasks` is first read.
        finalized: Every declared task is ready.
        finalize_lock: Held while tasks are made.
        fixups: What the fixups returned.
        on_after_finalize: Signal sent by `finalize`.
    """

    autofinalize: bool
    finalized: bool
    finalize_lock: Any
    fixups: list[Any]
    on_after_finalize: Signal
    _task_cls: Any
    _pending: dict[str, Any]
    _copied: set[str]
    _warned: set[str]
    _periodic: list[tuple[str, dict[str, Any]]]

    @property
    def tasks(self) -> TaskRegistry:
        """Its tasks by name; the first use finalizes the app.

        Raises:
            RuntimeError: It is not finalized, and was made with ``autofinalize=False``.
        """
        if not self.finalized:
            self.finalize(auto=True)
        return self._tasks

    def finalize(self, auto: bool = False) -> None:
        """Make every declared task ready.

        Args:
            auto: Nobody asked for it: refuse if ``autofinalize`` is off.
        """
        with self.finalize_lock:
            if self.finalized:
                return
            if auto and not self.autofinalize:
                raise RuntimeError(
                    "Contract breach: app not finalized. Call app.finalize() before using app.tasks, "
                    "or leave autofinalize on"
                )
            self.finalized = True
            for declare_in in list(shared_tasks.declarations.values()):
                declare_in(self)
            while self._pending:
                materialize(next(iter(self._pending.values())))
            self.on_after_finalize.send(self)

    @made_once
    def Task(self) -> type[Any]:
        """Base class of its tasks."""
        base = symbol_by_name(self._task_cls)
        return type("Task", (base,), {"_app": self, "abstract": True, "__module__": base.__module__,
                                      "__doc__": base.__doc__})  # fmt: skip

    def create_task_cls(self) -> type[Any]:
        """A new base class of its tasks."""
        return cast("type[Any]", type("Task", (symbol_by_name(self._task_cls),), {"_app": self, "abstract": True}))

    @overload
    def task(self, function: Callable[P, R], /) -> TaskBase[P, R]: ...

    @overload
    def task(self, *, bind: Literal[True], **options: Any) -> Callable[
        [Callable[Concatenate[Any, P], R]], TaskBase[P, R]
    ]: ...  # fmt: skip

    @overload
    def task(self, **options: Any) -> Callable[[Callable[P, R]], TaskBase[P, R]]: ...

    def task(self, *args: Any, **options: Any) -> Any:
        """Make a task of a function; a decorator, with or without options.

        Args:
            *args: The function, when used without parentheses.
            **options: ``name``, ``base`` (class), ``bind`` (the task is the first argument), ``shared`` (declare it
                in other apps too), ``lazy`` (make it when it is first used), ``filter`` (applied to the function
                first), ``pydantic`` (validate arguments annotated with a model, dump a returned one, and models
                given to calls), ``pydantic_strict``, ``pydantic_context``, ``pydantic_dump_kwargs``, and attributes
                of `Task`.

        Raises:
            TypeError: Applied to something that is no function, or a time limit is no number of seconds.
            ValueError: A time limit is negative, or the soft one exceeds the hard one.
            ImproperlyConfigured: ``pydantic=True``, and pydantic is not installed.
        """
        if len(args) == 1 and callable(args[0]) and not options:
            return self.declare(args[0])
        if args:
            raise TypeError(f"@app.task takes one function and options by keyword, got {args!r}")
        return lambda function: self.declare(function, **options)

    def declare(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        base: type[Any] | None = None,
        bind: bool = False,
        shared: bool = True,
        lazy: bool = True,
        filter: Callable[[Any], Any] | None = None,
        copied: bool = False,
        **options: Any,
    ) -> Any:
        """What `task` does to a function; ``copied`` says that another app or `shared_task` declared it."""
        if not callable(function):
            raise TypeError(f"@app.task takes a function, got {function!r}")
        given = dict(options)
        if filter is not None:
            function = filter(function)
        pydantic = pydantic_options(function.__name__, options)
        if pydantic is not None:
            load_validation(function.__name__)
        name = name or self.gen_task_name(function.__name__, function.__module__)
        check_limits(name, options)
        existing = self._tasks.get(name) or self._pending.get(name)
        if existing is not None:
            if copied or name not in self._copied:
                if not copied:
                    self._warn_duplicate(name, existing, function)
                return existing
            # A task of another app was here under this name: this app's own takes its place.
            self._copied.discard(name)
            self._tasks.pop(name, None)
            self._pending.pop(name, None)
        if copied:
            self._copied.add(name)
        pending = make_pending(Declaration(cast("Celery", self), name, function, base, bind, options, pydantic))
        self._pending[name] = pending
        if shared:

            def declare_in(app: Any) -> Any:
                return app.declare(function, name, base, bind, shared=False, copied=True, **given)

            shared_tasks.declarations.setdefault(name, declare_in)
        return pending if lazy and not self.finalized else materialize(pending)

    def _warn_duplicate(self, name: str, existing: Any, function: Any) -> None:
        known = declaration_of(existing)
        other = known.function if known is not None else getattr(existing, "__wrapped__", None)
        if name in self._warned or (other is not None and is_same_function(other, function)):
            return
        self._warned.add(name)
        warnings.warn(
            f"Task {name!r} is declared twice, as {_place(other)} and as {_place(function)}: the first one is kept. "
            "Give one of them another name.",
            DuplicateTaskNameWarning,
            stacklevel=4,
        )

    def adopt(self, task: Any) -> None:
        """Register a task that is ready."""
        self._pending.pop(task.name, None)
        self._tasks[task.name] = task
        task.bind(self)
        if self.conf.configured:
            self._annotate(task)

    def _annotate(self, task: Any) -> None:
        if self.conf.task_annotations and not task.__dict__.get("_annotated"):
            task.__dict__["_annotated"] = True
            task.annotate()

    def register_task(self, task: Any, **options: Any) -> Any:
        """Register a task made by subclassing; returns it.

        Args:
            task: A `Task`, or a class of one.
            **options: Its attributes, such as those of autoretry.
        """
        task = task() if isinstance(task, type) else task
        if not task.name:
            cls = type(task)
            task.name = self.gen_task_name(cls.__name__, cls.__module__)
        for key, value in options.items():
            setattr(task, key, value)
        existing = self._tasks.get(task.name) or self._pending.pop(task.name, None)
        if existing is not None and existing is not task and type(existing) is not type(task):
            warnings.warn(
                f"Task {task.name!r} is registered twice: {type(task).__qualname__} replaces what was there.",
                DuplicateTaskNameWarning,
                stacklevel=2,
            )
        self.adopt(task)
        return task

    def gen_task_name(self, name: str, module: str) -> str:
        """Name of a task that was given none; for subclasses to change."""
        return gen_task_name(self.main, name, module)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import the module ``tasks`` of packages, when a worker starts.

        Args:
            packages: Names of packages, or a function giving them; None asks the fixups.
            related_name: Name of the module; None imports the packages themselves.
            force: Import now.
        """

        def import_them(**_: Any) -> None:
            names = packages() if callable(packages) else packages
            if names is None:
                names = [name for fixup in self.fixups for name in getattr(fixup, "autodiscover_tasks", list)()]
            discover(names, related_name)

        if force:
            import_them()
        else:
            signals.import_modules.connect(import_them, sender=self, weak=False)

    def import_default_modules(self) -> list[ModuleType]:
        """Import what ``imports``, ``include`` and `autodiscover_tasks` name; workers do it as they start."""
        for receiver, answer in signals.import_modules.send(self):
            if isinstance(answer, Exception):
                raise ImproperlyConfigured(f"Importing task modules failed in {receiver!r}: {answer!r}") from answer
        names = [*_as_tuple(self.conf.imports), *_as_tuple(self.conf.include)]
        return [import_from_cwd(name) for name in dict.fromkeys(names)]

    def add_periodic_task(
        self,
        schedule: Any,
        sig: Any,
        args: Any = (),
        kwargs: Any = None,
        name: str | None = None,
        misfire: str | None = None,
        **opts: Any,
    ) -> str:
        """Add an entry to ``beat_schedule``.

        Args:
            schedule: A schedule, or a number of seconds.
            sig: What to call: a signature or a task.
            args: Arguments, for a signature without its own.
            kwargs: Keyword arguments, likewise.
            name: Key of the entry; None is the call as text.
            misfire: What to do about missed runs; see `celeriac.beat.ScheduleEntry`.
            **opts: Options of the call.

        Returns:
            The key.
        """
        from celeriac.canvas.signature import Signature

        sig = sig.clone() if isinstance(sig, Signature) else sig.s()
        key = name or repr(sig)
        entry = {
            "schedule": schedule,
            "task": sig.name,
            "args": tuple(args) or tuple(sig.args),
            "kwargs": kwargs or dict(sig.kwargs),
            "options": {**sig.options, **opts},
        }
        if misfire is not None:
            entry["misfire"] = misfire
        if self.conf.configured:
            self._add_entry(key, entry, named=name is not None)
        else:
            self._periodic.append((key, entry))
        return key

    def _add_entry(self, key: str, entry: dict[str, Any], named: bool = True) -> None:
        schedule = dict(self.conf.beat_schedule or {})
        if not named and key in schedule:
            import logging

            logging.getLogger("celeriac.app").warning(
                "The periodic task %r is added twice without a name: the later one replaces it", key
            )
        schedule[key] = entry
        self.conf.beat_schedule = schedule


def make_registry(tasks: Any) -> TaskRegistry:
    """The registry of ``Celery(tasks=…)``."""
    if isinstance(tasks, type):
        tasks = tasks()
    if isinstance(tasks, TaskRegistry):
        return tasks
    return TaskRegistry(tasks or {})


def _as_tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _place(function: Any) -> str:
    code = getattr(function, "__code__", None)
    return repr(function) if code is None else f"{code.co_filename}:{code.co_firstlineno}"
