"""Objects by name, and names of objects.  Finding the app of a command line is the CLI's job."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

_MISSING: Any = object()
#: The module of the program, and its name in a process that imports it anew, where it is not to start the program.
MAIN, MAIN_ANEW = "__main__", "__mp_main__"
#: Set by spawned ``multiprocessing`` children: the file that is ``__main__`` in the parent.
MP_MAIN_FILE: str | None = os.environ.get("MP_MAIN_FILE")


def qualname(obj: object) -> str:
    """``module.qualified_name`` of a class, function, or of the class of any other object."""
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    name: str = named.__qualname__
    module = getattr(named, "__module__", None)
    return f"{module}.{name}" if module else name


def symbol_by_name(
    name: Any,
    aliases: Mapping[str, str] | None = None,
    *,
    package: str | None = None,
    default: Any = _MISSING,
) -> Any:
    """The object called `name`.

    >>> symbol_by_name("os.path:join").__name__
    'join'

    Args:
        name: ``module:attribute``, ``module.attribute`` or a module without dots; anything but a string is
            returned unchanged.
        aliases: Short names, tried first.
        package: Where a relative module name (``.module``) starts.
        default: Returned when there is no such object.

    Raises:
        ImportError: The module cannot be imported and there is no `default`.
        AttributeError: It has no such attribute and there is no `default`.
    """
    if not isinstance(name, str):
        return name
    name = (aliases or {}).get(name) or name
    module_name, sep, attribute = name.partition(":")
    if not sep:
        module_name, _, attribute = name.rpartition(".")
    try:
        if not module_name:
            # "os": a module; ".path": a module relative to `package`.
            return importlib.import_module(name, package)
        found: Any = importlib.import_module(module_name, package)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
        return found
    except (ImportError, AttributeError):
        if default is _MISSING:
            raise
        return default


def instantiate(name: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the class (or any callable) known as `name`; see `symbol_by_name`."""
    return symbol_by_name(name)(*args, **kwargs)


def import_optional(module: str, *, extra: str, purpose: str) -> Any:
    """Import a package that is installed only with an extra.

    Args:
        module: Name to import.
        extra: The extra of the distribution that brings it.
        purpose: What needs it; starts the error message.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        raise ImproperlyConfigured(
            f"{purpose} needs the package {module!r}, which cannot be imported ({exc}): "
            f"run `pip install 'celeriac[{extra}]'`"
        ) from exc


@contextlib.contextmanager
def cwd_in_path() -> Iterator[None]:
    """Have the current directory first in ``sys.path`` for a while, unless it is there already."""
    cwd = os.getcwd()  # noqa: PTH109 - `import celeriac` has to be quick, and pathlib takes milliseconds
    if cwd in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, cwd)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(cwd)


def import_from_cwd(module: str, package: str | None = None) -> ModuleType:
    """Import a module, looking in the current directory too.

    Raises:
        ImportError: There is no such module, or it fails to import something.
    """
    with cwd_in_path():
        importlib.invalidate_caches()
        return importlib.import_module(module, package)


def gen_task_name(main: str | None, name: str, module_name: str | None) -> str:
    """The automatic name of a task: ``module.function``.

    Functions of the ``__main__`` module are named after the app, because workers import them under another
    module name.

    Args:
        main: Name of the app's main module (``Celery(main=…)``).
        name: Name of the function.
        module_name: Its module; empty stands for ``__main__``.
    """
    module_name = MAIN if not module_name or module_name == MAIN_ANEW else module_name
    module = sys.modules.get(module_name)
    if MP_MAIN_FILE and module is not None and getattr(module, "__file__", None) == MP_MAIN_FILE:
        return f"__main__.{name}"
    if module_name == MAIN and main:
        module_name = main
    return f"{module_name}.{name}"
