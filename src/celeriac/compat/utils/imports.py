"""Names of ``celery.utils.imports``."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from celeriac.utils.imports import cwd_in_path, gen_task_name, import_from_cwd, instantiate, qualname, symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

__all__ = [
    "NotAPackage",
    "cwd_in_path",
    "find_module",
    "gen_task_name",
    "import_from_cwd",
    "instantiate",
    "load_extension_class_names",
    "load_extension_classes",
    "module_file",
    "qualname",
    "reload_from_cwd",
    "symbol_by_name",
]


class NotAPackage(Exception):
    """Something in the name of a module is no package."""


def find_module(module: str, path: str | None = None, imp: Callable[..., Any] | None = None) -> Any:
    """Import a module, looking in the current directory too.

    Raises:
        NotAPackage: A part of its name before the last is a module.
        ImportError: There is none.
    """
    load = imp or importlib.import_module
    with cwd_in_path():
        try:
            return load(module)
        except ImportError:
            parent = module.rpartition(".")[0]
            if parent and not hasattr(load(parent), "__path__"):
                raise NotAPackage(f"{parent} is a module, so that there is no {module}") from None
            raise


def module_file(module: ModuleType) -> str | None:
    """The source file of a module."""
    name = module.__file__
    return name[:-1] if name and name.endswith((".pyc", ".pyo")) else name


def reload_from_cwd(module: ModuleType, reloader: Callable[[ModuleType], Any] | None = None) -> Any:
    """Reload a module, looking in the current directory too."""
    with cwd_in_path():
        return (reloader or importlib.reload)(module)


def load_extension_class_names(namespace: str) -> Iterator[tuple[str, str]]:
    """Names and values of the entry points of a group."""
    for point in entry_points(group=namespace):
        yield point.name, point.value


def load_extension_classes(namespace: str) -> Iterator[tuple[str, Any]]:
    """Names and objects of the entry points of a group."""
    for point in entry_points(group=namespace):
        yield point.name, point.load()
