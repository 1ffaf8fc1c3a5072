"""Reading configuration sources: objects, modules, environment variables and command-line arguments.

Turns each into a mapping of names to values; what the names mean is decided by `names` and `settings`.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from celeriac.config.names import find_option
from celeriac.config.values import from_text
from celeriac.exceptions import ImproperlyConfigured, NotConfigured

if TYPE_CHECKING:
    from celeriac.config.options import Option

__all__ = [
    "CONFIG_MODULE_VARIABLE",
    "DEFAULT_MODULES",
    "NotAPackage",
    "ObjectSource",
    "default_config",
    "module_from_envvar",
    "parse_arguments",
    "read_source",
]

#: Environment variable that names the configuration module.
CONFIG_MODULE_VARIABLE: Final = "CELERY_CONFIG_MODULE"
#: Modules tried, in this order, where an app asks for the default configuration and the variable is unset.
DEFAULT_MODULES: Final = ("celeriacconfig", "celeryconfig")

_ARGUMENT: Final = r"(?s)(?P<lead>[._]?)(?P<name>[A-Za-z][\w.]*)=(?:\((?P<cast>\w+)\))?(?P<value>.*)"


class NotAPackage(ImproperlyConfigured):
    """A module was named like a file: with the suffix ``.py``."""


class ObjectSource(Mapping[str, Any]):
    """Public attributes of a module, class or instance as a mapping.

    Values are read when asked for: a settings object may compute them, warn, or refuse.

    Args:
        target: The object.
    """

    __slots__ = ("_names", "target")

    def __init__(self, target: object) -> None:
        self.target = target
        self._names = [name for name in dir(target) if not name.startswith("_")]

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self.target, key)
        except AttributeError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def is_code(self, key: str) -> bool:
        """Whether `key` names something imported or defined, such as a module, class or function."""
        owner = self.target if isinstance(self.target, type) else type(self.target)
        for scope in (getattr(self.target, "__dict__", {}), *(vars(base) for base in owner.__mro__)):
            if key in scope:
                value = scope[key]
                return callable(value) or isinstance(value, (ModuleType, property, classmethod))
        return False


def read_source(source: object) -> Mapping[str, Any]:
    """Return the settings that `source` holds.

    Args:
        source: A mapping, a module, class or instance, or the dotted name of one: ``pkg.mod``,
            ``pkg.mod:attr`` or ``pkg.mod.attr``.

    Raises:
        ImportError: A module of that name cannot be imported.
        AttributeError: The module has no such attribute.
        NotAPackage: The name ends in ``.py``.
    """
    if isinstance(source, str):
        source = _import_by_name(source)
    return source if isinstance(source, Mapping) else ObjectSource(source)


def module_from_envvar(variable: str, *, silent: bool = False) -> str | None:
    """Return the module named by an environment variable; None if `silent` and it is unset or empty.

    Raises:
        ImproperlyConfigured: The variable is unset or empty.
    """
    name = os.environ.get(variable)
    if name:
        return name
    if silent:
        return None
    raise ImproperlyConfigured(
        f"The environment variable {variable!r} is not set; set it to the name of the configuration module."
    )


def default_config(modules: Iterable[str] = ()) -> Mapping[str, Any]:
    """Return the configuration of an app that was given none.

    Args:
        modules: Modules to try when `CELERY_CONFIG_MODULE` is unset, such as `DEFAULT_MODULES`. That none of
            them exists is no error; it is warned of (`NotConfigured`) only if `C_WNOCONF` is set in the
            environment.

    Raises:
        ImportError: The module named by the environment cannot be imported, or one of `modules` exists and
            fails.
    """
    named = os.environ.get(CONFIG_MODULE_VARIABLE)
    if named:
        return read_source(named)
    names = tuple(modules)
    for name in names:
        try:
            return read_source(name)
        except ModuleNotFoundError as exc:
            if exc.name != name:
                raise
    if names and os.environ.get("C_WNOCONF"):
        message = f"No configuration module found: looked for {' and '.join(names)} in {_here()} and sys.path."
        warnings.warn(message, NotConfigured, stacklevel=2)
    return {}


def _import_by_name(name: str) -> object:
    if name.endswith(".py"):
        raise NotAPackage(f"{name!r} is a file name; name the module without suffix: {name[:-3].replace('/', '.')!r}.")
    module_name, colon, attribute = name.partition(":")
    with _working_directory_importable():
        if colon:
            return _attribute(_module(module_name, name), attribute)
        parent, _, last = name.rpartition(".")
        try:
            return _module(name, name)
        except ModuleNotFoundError as exc:
            # Only if it is this very name that is missing, and not something that it imports.
            if not parent or exc.name != name:
                raise
            return _attribute(_module(parent, name), last)


def _module(module_name: str, wanted: str) -> ModuleType:
    """Import a module; if it is missing, say for what it was wanted."""
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{module_name}.".startswith(f"{exc.name}."):
            raise
        raise ModuleNotFoundError(
            f"the configuration {wanted!r} cannot be imported: there is no module {exc.name!r} in {_here()} or on "
            f"sys.path; it is named by config_from_object(), Celery(config_source=...) or {CONFIG_MODULE_VARIABLE}",
            name=exc.name,
            path=exc.path,
        ) from exc


def _attribute(module: ModuleType, path: str) -> object:
    value: object = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


@contextmanager
def _working_directory_importable() -> Iterator[None]:
    """Installed programs, unlike ``python -m``, do not have the working directory on `sys.path`."""
    here = _here()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def _here() -> str:
    from pathlib import Path

    return str(Path.cwd())


def parse_arguments(arguments: Iterable[str], namespace: str = "celery") -> dict[str, Any]:
    """Read settings from command-line arguments of the form ``[.|_]name=value``.

    Names are case-insensitive and may have dots for underscores. A leading dot or underscore stands for the
    namespace of the command. ``(type)value`` reads the value as `string`, `bytes`, `int`, `float`, `bool`,
    `any`, `json`, `dict`, `list` or `tuple` (these four as JSON) instead of as the type of the setting.

    Args:
        arguments: The arguments after ``--``.
        namespace: ``worker`` for the worker; ``celery``, which is the empty prefix, for other commands.

    Returns:
        New setting names and their values.

    Raises:
        KeyError: A setting or a type is unknown.
        ValueError: An argument is no assignment, or a value cannot be read or is out of range.
    """
    return dict(_parse_argument(argument, namespace) for argument in arguments)


def _parse_argument(argument: str, namespace: str) -> tuple[str, Any]:
    match = re.fullmatch(_ARGUMENT, argument)
    if match is None:
        raise ValueError(f"{argument!r} is no setting; write name=value, as in worker.prefetch_multiplier=10")
    option = _named_option(match["lead"], match["name"].replace(".", "_").lower(), namespace)
    try:
        return option.name, from_text(option, match["value"], match["cast"])
    except (ValueError, TypeError, ImproperlyConfigured) as exc:
        raise ValueError(f"{option.name!r}: {exc}") from None


def _named_option(lead: str, name: str, namespace: str) -> Option:
    found = find_option(name, namespace if lead else None)
    whole = found.namespace is None or (lead and found.namespace == namespace)
    if whole:
        return found.option
    raise KeyError(f"no setting is called {name!r}; did you mean {found.option.name!r}?")
