"""Loaders: classes of users that say where settings come from and hear what workers do, under Celery's names.

An app without a class of its own gets by without: what is here asks the app.
"""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celeriac import signals
from celeriac.app.discovery import discover, find_related_module
from celeriac.config.loader import CONFIG_MODULE_VARIABLE, DEFAULT_MODULES, default_config, module_from_envvar
from celeriac.config.loader import read_source as read_source_of
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.imports import import_from_cwd, qualname, symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

    from celeriac.app.base import Celery

__all__ = ["AppLoader", "BaseLoader", "Loader", "get_loader_cls", "listen"]

_NAMED: Final = {"app": "celeriac.app.loaders:AppLoader", "default": "celeriac.app.loaders:Loader"}


class BaseLoader:
    """A loader; subclasses override what they want to change or hear.

    Args:
        app: The app.

    Attributes:
        override_backends: Classes of result backends by URL scheme, as dotted paths; they come before all others.
    """

    override_backends: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, app: Celery, **kwargs: Any) -> None:
        self.app = app
        self.task_modules: set[str] = set()

    # -- where settings come from ----------------------------------------------------------------------------------

    def read_configuration(self, env: str = CONFIG_MODULE_VARIABLE) -> Mapping[str, Any]:
        """The settings of an app that is given none otherwise.

        Args:
            env: Variable of the environment that may name a module with them.
        """
        module = module_from_envvar(env, silent=True)
        return {} if module is None else read_source_of(module)

    def config_from_object(self, obj: Any, silent: bool = False) -> bool:
        """Take settings from an object or the dotted name of one; whether it was there."""
        return self.app.conf.load(obj, silent=silent)

    @property
    def conf(self) -> Any:
        """The settings of the app."""
        return self.app.conf

    @property
    def configured(self) -> bool:
        """They have been read."""
        return self.app.conf.configured

    # -- what it hears -----------------------------------------------------------------------------------------------

    def on_worker_init(self) -> None:
        """A worker starts."""

    def on_worker_process_init(self) -> None:
        """A process of a worker that runs tasks starts."""

    def on_worker_shutdown(self) -> None:
        """A worker has ended."""

    def on_task_init(self, task_id: str, task: Any) -> None:
        """A task begins, in the process that runs it."""

    def on_process_cleanup(self) -> None:
        """A task has ended, in the process that ran it."""

    # -- importing -----------------------------------------------------------------------------------------------------

    def now(self, utc: bool = True) -> datetime:
        """The present time, without a zone: of UTC, or of the machine."""
        return datetime.now(UTC).replace(tzinfo=None) if utc else datetime.now()

    def import_default_modules(self) -> list[ModuleType]:
        """Import what workers import as they start."""
        return self.app.import_default_modules()

    def import_task_module(self, module: str) -> ModuleType:
        """Import a module of tasks."""
        self.task_modules.add(module)
        return self.import_from_cwd(module)

    def import_module(self, module: str, package: str | None = None) -> ModuleType:
        """Import a module."""
        return importlib.import_module(module, package)

    def import_from_cwd(self, module: str, imp: Any = None, package: str | None = None) -> ModuleType:
        """Import a module that may be in the working directory."""
        return import_from_cwd(module) if imp is None else imp(module, package)

    def autodiscover_tasks(self, packages: Iterable[str], related_name: str | None = "tasks") -> None:
        """Import a module of each package, now."""
        self.task_modules.update(module.__name__ for module in discover(packages, related_name))

    def find_module(self, module: str) -> ModuleType | None:
        """Import a module of that name, if there is one."""
        return find_related_module(module, None)

    def __repr__(self) -> str:
        return f"<{qualname(type(self))}>"


class AppLoader(BaseLoader):
    """The loader of an app."""


class Loader(BaseLoader):
    """The loader of programs without an app of their own: tries modules of fixed names too."""

    def read_configuration(self, env: str = CONFIG_MODULE_VARIABLE) -> Mapping[str, Any]:
        module = module_from_envvar(env, silent=True)
        return default_config(DEFAULT_MODULES) if module is None else read_source_of(module)


def get_loader_cls(loader: Any) -> type[BaseLoader]:
    """The class of a loader.

    Args:
        loader: ``app``, ``default``, a class, or its dotted path.

    Raises:
        ImproperlyConfigured: There is no such class.
    """
    try:
        found = symbol_by_name(loader, _NAMED)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ImproperlyConfigured(
            f"Celery(loader={loader!r}) cannot be imported ({exc}): give 'app', 'default', or a subclass of "
            "celeriac.app.loaders.BaseLoader as 'module:Class'"
        ) from exc
    if not isinstance(found, type) or not issubclass(found, BaseLoader):
        raise ImproperlyConfigured(
            f"Celery(loader={loader!r}) is no loader: give 'app', 'default', or a subclass of "
            "celeriac.app.loaders.BaseLoader"
        )
    return found


def listen(loader: BaseLoader) -> None:
    """Let a loader hear what happens in this process and its children."""
    cls = type(loader)
    if cls.on_worker_init is not BaseLoader.on_worker_init:
        _connect(loader, signals.worker_init, lambda **_: loader.on_worker_init())
    if cls.on_worker_process_init is not BaseLoader.on_worker_process_init:
        _connect(loader, signals.worker_process_init, lambda **_: loader.on_worker_process_init())
    if cls.on_worker_shutdown is not BaseLoader.on_worker_shutdown:
        _connect(loader, signals.worker_shutdown, lambda **_: loader.on_worker_shutdown())
    if cls.on_task_init is not BaseLoader.on_task_init:
        _connect(loader, signals.task_prerun, lambda task_id, task, **_: loader.on_task_init(task_id, task))
    if cls.on_process_cleanup is not BaseLoader.on_process_cleanup:
        _connect(loader, signals.task_postrun, lambda **_: loader.on_process_cleanup())


def _connect(loader: BaseLoader, signal: Any, call: Any) -> None:
    """Call it for what concerns the app of the loader."""

    def heard(sender: Any = None, **given: Any) -> None:
        if getattr(sender, "app", loader.app) is loader.app:
            call(**given)

    signal.connect(heard, weak=False, dispatch_uid=("loader", id(loader), signal.name))
