"""`Celery`, the application: settings, tasks and connections of one client or worker process, put together.

What each part does is in the modules beside this one; running tasks is the worker's.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, Literal, ParamSpec, TypeVar, cast, overload

from celeriac import current
from celeriac.app import shared
from celeriac.app.builtins import declare_builtins
from celeriac.app.client import send
from celeriac.app.declaring import Declaring, make_registry
from celeriac.app.made_once import made_once
from celeriac.app.options import resolve_options
from celeriac.app.plan import check_types
from celeriac.app.sessions import Sessions
from celeriac.app.task import Task
from celeriac.config import Settings
from celeriac.config.loader import DEFAULT_MODULES, default_config, module_from_envvar, parse_arguments
from celeriac.config.options import OPTIONS
from celeriac.exceptions import AlwaysEagerIgnored, ImproperlyConfigured
from celeriac.signals import Signal
from celeriac.utils.imports import symbol_by_name
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from celeriac.app.loaders import BaseLoader
    from celeriac.beat import Service
    from celeriac.canvas.signature import Signature
    from celeriac.result import AsyncResult
    from celeriac.worker.assembly import Worker

__all__ = ["Celery", "bugreport"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

#: Arguments of `Celery`, for those that are misspelt.
_ARGUMENTS = (
    "main", "loader", "backend", "set_as_current", "tasks", "broker", "include", "changes", "config_source", "fixups",
    "task_cls", "autofinalize", "namespace", "strict_typing", "config_source_silent",
)  # fmt: skip


class Celery(Declaring):
    """An application.

    Args:
        main: Name that stands for ``__main__`` in names of tasks; also names the file of the embedded broker.
        loader: ``app`` reads the module named by ``CELERY_CONFIG_MODULE`` when nothing else is configured;
            ``default`` also looks for ``celeriacconfig`` and ``celeryconfig``. Or a subclass of
            `celeriac.app.loaders.BaseLoader`, or its dotted path.
        backend: The setting ``result_backend``.
        events: Class of `events`, or its dotted path; None is `celeriac.app.events.Events`.
        amqp: Not supported; must be None.
        log: Class of `log`, or its dotted path; its workers configure logging by it.
        control: Class of `control`, or its dotted path.
        set_as_current: Make it the current app of this thread.
        tasks: A `TaskRegistry`, its class, or a mapping of tasks by name.
        broker: The setting ``broker_url``.
        include: The setting ``include``.
        changes: Settings.
        config_source: As for `config_from_object`.
        fixups: Callables, or dotted paths of some, called with the app; None is `builtin_fixups`.
        task_cls: Base class of its tasks, or its dotted path.
        autofinalize: Finalize when `tasks` is first read; False makes that an error before `finalize`.
        namespace: As for `config_from_object`.
        strict_typing: Check arguments of calls unless a task says otherwise.
        config_source_silent: A missing ``config_source`` is no error.
        **kwargs: More settings.
    """

    Pickler: ClassVar[Any] = None
    task_cls: Any = Task
    #: Fixups of an app that names none, and the variables of the environment that ask for them.
    builtin_fixups: ClassVar[Mapping[str, str]] = {"celeriac.fixups.django:fixup": "DJANGO_SETTINGS_MODULE"}

    def __init__(
        self,
        main: str | None = None,
        loader: Any = None,
        backend: Any = None,
        amqp: Any = None,
        events: Any = None,
        log: Any = None,
        control: Any = None,
        set_as_current: bool = True,
        tasks: Any = None,
        broker: Any = None,
        include: Any = None,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        fixups: Iterable[Any] | None = None,
        task_cls: Any = None,
        autofinalize: bool = True,
        namespace: str | None = None,
        strict_typing: bool = True,
        config_source_silent: bool = False,
        **kwargs: Any,
    ) -> None:
        _check_arguments(amqp, kwargs)
        self.main = main
        self.loader_cls = loader or os.environ.get("CELERY_LOADER") or "app"
        self.autofinalize = autofinalize
        self.strict_typing = strict_typing
        self.finalize_lock = threading.RLock()
        self.finalized = False
        self._task_cls = task_cls or self.task_cls
        self._control_cls = control
        self._log_cls = log
        self._tasks = make_registry(tasks)
        self._events_cls = events
        self._pending: dict[str, Any] = {}
        self._copied: set[str] = set()
        self._warned: set[str] = set()
        self._periodic: list[tuple[str, dict[str, Any]]] = []
        self.lock = threading.RLock()
        self.user_options: dict[str, set[Any]] = defaultdict(set)
        self.steps: dict[str, set[Any]] = defaultdict(set)
        self.on_configure = Signal("app.on_configure")
        self.on_after_configure = Signal("app.on_after_configure", {"source"})
        self.on_after_finalize = Signal("app.on_after_finalize")
        self.on_after_fork = Signal("app.on_after_fork")
        self._init_arguments = {
            "loader": loader, "fixups": fixups, "task_cls": task_cls, "strict_typing": strict_typing,
            "autofinalize": autofinalize, "control": control, "log": log,
        }  # fmt: skip
        self.sessions = Sessions(lambda: self.broker)
        self.conf = self._make_conf(broker, backend, include, {**(changes or {}), **kwargs})
        if config_source is not None:
            self.conf.load(config_source, namespace, config_source_silent, lazy=True)
        elif namespace:
            raise ImproperlyConfigured(f"Celery(namespace={namespace!r}) needs a config_source too")
        if set_as_current:
            self.set_current()
        shared.apps.add(self)
        self._fit_in(fixups)
        declare_builtins(self)
        self.on_init()

    def _fit_in(self, fixups: Iterable[Any] | None) -> None:
        if fixups is None:
            fixups = [name for name, variable in self.builtin_fixups.items() if os.environ.get(variable)]
        self.fixups = [made for fixup in fixups if (made := symbol_by_name(fixup)(self)) is not None]
        if self.loader_cls not in ("app", "default"):
            from celeriac.app.loaders import listen

            listen(self.loader)

    def _make_conf(self, broker: Any, backend: Any, include: Any, changes: dict[str, Any]) -> Settings:
        given = {"broker_url": broker, "result_backend": backend, "include": include}
        changes.update((key, value) for key, value in given.items() if value is not None)
        if self.loader_cls == "app":
            conf = Settings(changes, lock=self.lock)
        elif self.loader_cls == "default":
            conf = Settings(changes, default_source=lambda: default_config(DEFAULT_MODULES), lock=self.lock)
        else:
            conf = Settings(changes, default_source=lambda: self.loader.read_configuration() or {}, lock=self.lock)
        conf.before_load.append(lambda: self.on_configure.send(self))
        conf.after_load.append(self._after_load)
        conf.bind_to(self._settings_changed)
        return conf

    @made_once
    def loader(self) -> BaseLoader:
        """Where its settings come from unless it is told otherwise, under Celery's names."""
        from celeriac.app.loaders import get_loader_cls

        return get_loader_cls(self.loader_cls)(app=self)

    @property
    def namespace(self) -> str | None:
        """Prefix of the names of its settings, as for `config_from_object`."""
        return self.conf.namespace

    def use_task_class(self, task_cls: Any) -> None:
        """Make a class, or that of a dotted path, the base of its tasks, unless it was given one; for fixups."""
        if self._task_cls is Task:
            self._task_cls = task_cls

    def on_init(self) -> None:
        """Called at the end of construction; for subclasses."""

    # ------------------------------------------------------------------ current and default app

    def set_current(self) -> None:
        """Make it the current app of this thread."""
        current.set_current_app(self)

    def set_default(self) -> None:
        """Make it the app of threads that have none of their own."""
        current.set_default_app(self)

    def __enter__(self) -> Celery:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections. It opens new ones when it is used again."""
        with self.lock:
            self._close_connections()
        shared.apps.discard(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or '__main__'} at {id(self):#x}>"

    def __class_getitem__(cls, _item: Any) -> type[Celery]:
        return cls

    # ------------------------------------------------------------------ configuration

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Take settings from an object, a module, a mapping, or the dotted name of one.

        Args:
            obj: Where from.
            silent: A missing module is no error.
            force: Read it now instead of at the first use of a setting.
            namespace: Prefix of its names: ``CELERY`` for ``CELERY_BROKER_URL``.
        """
        self.conf.load(obj, namespace, silent, lazy=not force)

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """Take settings from the module named by an environment variable.

        Raises:
            ImproperlyConfigured: The variable is not set, unless ``silent``.
        """
        module = module_from_envvar(variable_name, silent=silent)
        if module is None:
            return False
        self.conf.load(module, None, silent, lazy=not force)
        return True

    def config_from_cmdline(self, argv: Iterable[str], namespace: str = "celery") -> None:
        """Take settings of the form ``name=value``."""
        self.conf.update(parse_arguments(argv, namespace))

    def add_defaults(self, fun: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Add settings that count below changes and above the source."""
        self.conf.add_defaults(fun)

    def either(self, default_key: str, *defaults: Any) -> Any:
        """The first value that is not None, else a setting."""
        return next((value for value in defaults if value is not None), None) or self.conf[default_key]

    def _after_load(self, conf: Settings) -> None:
        for key, entry in self._periodic:
            self._add_entry(key, entry)
        self._periodic.clear()
        self._settings_changed()
        for task in list(self._tasks.values()):
            self._annotate(task)
        self.on_after_configure.send(self, source=conf)

    # ------------------------------------------------------------------ calling

    def signature(self, *args: Any, **kwargs: Any) -> Signature:
        """A signature bound to this app."""
        from celeriac.canvas.signature import signature

        kwargs["app"] = self
        return signature(*args, **kwargs)

    subtask = signature

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | str | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> AsyncResult[Any]:
        """Call a task by name; it need not be registered here.

        Args:
            name: Name of the task.
            args: Positional arguments: a list or tuple.
            kwargs: Keyword arguments: a mapping.
            countdown: Seconds to wait.
            eta: When to run.
            task_id: Its id; None makes one.
            **options: As for `Task.apply_async`.

        Raises:
            TypeError: ``args`` or ``kwargs`` have the wrong type, or ``name`` is no text.
            ValueError: ``name`` is empty.
            EncodeError: The arguments cannot be serialized.
            OperationalError: The broker did not accept the message in time.
        """
        if not isinstance(name, str):
            raise TypeError(f"send_task({name!r}): give the name of a task, or call the task itself")
        if not name:
            raise ValueError("send_task(''): give the name of a task, such as 'proj.tasks.add'")
        if self.conf.task_always_eager:
            warnings.warn(
                f"task_always_eager does not apply to send_task({name!r}): the message is published",
                AlwaysEagerIgnored,
                stacklevel=2,
            )
        args, kwargs = () if args is None else args, kwargs or {}
        check_types(args, kwargs, name)
        task = options.pop("task_type", None) or self.tasks.get(name)
        given = {key: value for key, value in options.items() if value is not None}
        given.update(countdown=countdown, eta=eta)
        defaults = {} if task is None else task.execution_options()
        resolved = resolve_options(self, name, task, {**defaults, **given})
        return cast("AsyncResult[Any]", send(self, resolved, args, kwargs, task_id, task))

    async def acall(self, function: Callable[..., T], /, *args: Any, timeout: float | None = None, **kwargs: Any) -> T:
        """Call a function that publishes from a coroutine, such as `send_task`; the event loop goes on meanwhile.

        One thread of the process makes such calls, in their order. One whose turn has not come when its deadline
        passes is not made. `Task.adelay`, `Task.aapply_async` and their like on signatures are made by it.

        Args:
            function: What to call, in a copy of the caller's context.
            *args: Its positional arguments.
            timeout: Seconds for publishing; None is ``broker_publish_timeout``. Passed on if given.
            **kwargs: Its keyword arguments.

        Raises:
            PublishTimeout: Its turn did not come in time.
        """
        # See there why so late.
        from celeriac.app.async_calls import call

        return await call(self, function, *args, timeout=timeout, **kwargs)

    @overload
    def publish_many(
        self, signatures: Iterable[Any], *, chunk: int = ..., timeout: float | None = ..., results: Literal[True] = ...
    ) -> list[AsyncResult[Any]]: ...

    @overload
    def publish_many(
        self, signatures: Iterable[Any], *, chunk: int = ..., timeout: float | None = ..., results: Literal[False]
    ) -> int: ...

    @overload
    def publish_many(
        self, signatures: Iterable[Any], *, chunk: int = ..., timeout: float | None = ..., results: bool = ...
    ) -> list[AsyncResult[Any]] | int: ...

    def publish_many(
        self, signatures: Iterable[Any], *, chunk: int = 1000, timeout: float | None = None, results: bool = True
    ) -> list[AsyncResult[Any]] | int:
        """Publish many calls, pipelined and confirmed, in memory bounded by three chunks.

        A chunk whose connection breaks is published again as a whole, each call under the id it had: a call that
        the broker had accepted before it broke may then run twice, and none is lost.

        Args:
            signatures: Signatures; a generator is consumed as it is published.
            chunk: How many are published, and confirmed, together.
            timeout: Seconds for each chunk; None is ``broker_publish_timeout``.
            results: Return the results; False returns their number, and keeps none of them.

        Raises:
            OperationalError: The broker did not accept a chunk in time; those before it were accepted.
        """
        from celeriac.app.bulk import publish_many

        return publish_many(self, signatures, chunk=chunk, timeout=timeout, results=results)

    # ------------------------------------------------------------------ the rest

    def setup_security(
        self,
        allowed_serializers: Iterable[str] | None = None,
        key: str | None = None,
        key_password: bytes | None = None,
        cert: str | None = None,
        store: str | None = None,
        digest: str | None = None,
        serializer: str = "json",
    ) -> None:
        """Sign messages and read only those that somebody trusted signed; see `celeriac.security.setup_security`.

        Args:
            allowed_serializers: Serializers, besides ``serializer``, that signed messages of others may use.
            key: File with the private key; None is ``security_key``.
            key_password: Its password; None is ``security_key_password``.
            cert: File with the certificate; None is ``security_certificate``.
            store: Directory or glob of trusted certificates; None is ``security_cert_store``.
            digest: Hash function; None is ``security_digest``.
            serializer: What the signed content is written with.

        Raises:
            ImproperlyConfigured: A setting is missing or does not fit.
            SecurityError: A key or a certificate cannot be used, or has expired.
        """
        from celeriac.security import setup_security

        setup_security(allowed_serializers, key, key_password, cert, store, digest, serializer, app=self)
        # What was made of settings may hold the serializer that had this content type before.
        self._settings_changed()

    @property
    def current_task(self) -> Any:
        """The task that is running, or None."""
        return current.get_current_task()

    @property
    def current_worker_task(self) -> Any:
        """The task that came as a message and is running, or None: not one that was called by another in place."""
        return current.get_current_worker_task()

    def bugreport(self) -> str:
        """Versions and settings, for a bug report; passwords are masked."""
        return bugreport(self)

    def start(self, argv: Sequence[str] | None = None) -> Any:
        """Run the command line for this app.

        Args:
            argv: Arguments; None is those of the process.
        """
        from celeriac.cli.main import run

        return run(argv, app=self)

    def worker_main(self, argv: Sequence[str] | None = None) -> Any:
        """Run the command ``worker`` for this app.

        Args:
            argv: Arguments, ``worker`` among them; None is those of the process.
        """
        from celeriac.cli.main import run

        if argv is not None and "worker" not in argv:
            raise ValueError(f"worker_main() takes the command 'worker' among its arguments, got {list(argv)}")
        return run(argv, app=self)

    def Worker(self, **options: Any) -> Worker:
        """A worker of this app; its method ``start`` runs until it is stopped.

        Args:
            **options: Attributes of `celeriac.worker.assembly.WorkerOptions`, by the names of the command line.

        Raises:
            TypeError: An option is unknown.
            ImproperlyConfigured: An option has an unusable value.
        """
        from celeriac.worker.launcher import make_worker

        return make_worker(self, options)

    WorkController = Worker

    def Beat(self, **options: Any) -> Service:
        """Beat for this app; its method ``start`` runs until ``stop`` is called.

        Args:
            **options: Arguments of `celeriac.beat.Service`.
        """
        from celeriac.beat import Service

        return Service(self, **options)

    def embedded_beat(self, schedule_filename: str | None = None, scheduler: Any = None) -> Any:
        """Beat for a thread of this process, as ``celeriac worker -B`` has it.

        Args:
            schedule_filename: Where the schedule is kept; None is ``beat_schedule_filename``.
            scheduler: Class of the scheduler, or its dotted path; None is ``beat_scheduler``.

        Raises:
            ImproperlyConfigured: There is no such scheduler.
        """
        from celeriac.beat import EmbeddedService

        beat = EmbeddedService(self, schedule_filename=schedule_filename, scheduler_cls=scheduler)
        beat.service.find_class()
        return beat

    def __reduce__(self) -> tuple[Any, ...]:
        conf = self.conf
        arguments = {
            **self._init_arguments,
            "main": self.main,
            "changes": conf.changes,
            "config_source": conf.source,
            "namespace": conf.namespace,
            "set_as_current": False,
        }
        return _rebuild, (type(self), {key: value for key, value in arguments.items() if value is not None})


def bugreport(app: Celery | None = None) -> str:
    """Versions and settings, for a bug report; passwords are masked.

    Args:
        app: The app; None is the current one.
    """
    # Reading the versions of distributions takes modules that nothing else needs.
    from celeriac.app.report import bugreport as report

    return report(app or cast("Celery", current.get_current_app()))


def _check_arguments(amqp: Any, settings: Mapping[str, Any]) -> None:
    """Refuse what is not supported, and settings that are misspelt arguments."""
    if amqp is not None:
        raise ImproperlyConfigured(f"Celery(amqp={amqp!r}) is not supported: set task_queues and task_routes")
    for name in settings.keys() - OPTIONS.keys():
        if (meant := closest(name, _ARGUMENTS)) is not None:
            raise TypeError(f"Celery() got {name}={settings[name]!r}; did you mean {meant}?")


def _rebuild(cls: type[Celery], arguments: dict[str, Any]) -> Celery:
    return cls(**arguments)


def _default_app() -> Celery:
    """The app of a process that made none."""
    return Celery("default", loader=os.environ.get("CELERY_LOADER") or "default", set_as_current=False)


current.set_default_factory(cast("Callable[[], Any]", _default_app))
