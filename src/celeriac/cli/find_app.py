"""From the text of ``-A`` to an app, its settings and its tasks; and what to say when the user's code fails."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import FunctionType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

import click

from celeriac.app.base import Celery
from celeriac.exceptions import CeleryError, ImproperlyConfigured
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from pathlib import Path

#: Names under which a module keeps its app, and submodules of a package that hold one, in order of preference.
_ATTRIBUTES = ("app", "celery", "celeriac")
_SUBMODULES = ("celery", "celeriac")
#: Likeness, from 0 to 1, from which the name of a module counts as a slip of another.
_SIMILARITY = 0.6
_OUR_FILES = __file__.rsplit(os.sep, 2)[0]


class AppNotFound(click.UsageError):
    """The app that ``-A`` names cannot be loaded."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Unable to load celery application.\n{reason}")

    def show(self, file: Any = None) -> None:
        """Print the reason alone: the usage line would not help."""
        click.echo(f"Error: {self.format_message()}", file=file, err=file is None)


def find_app(name: str) -> Celery:
    """Find an app.

    Args:
        name: ``module``, ``module:attribute`` or ``package.module.attribute``.

    Raises:
        AppNotFound: There is no such module or attribute, it is no app, or importing it fails.
    """
    module_name, colon, attribute = name.partition(":")
    if not all(module_name.split(".")) or "/" in module_name:
        raise AppNotFound(_explain_malformed(name))
    if colon:
        return _check(_attribute(_import(module_name), attribute), name)
    try:
        module = _import(name)
    except _Missing as missing:
        parent, _, last = name.rpartition(".")
        if not parent or name.endswith(".py"):
            raise AppNotFound(_explain_missing(name)) from missing
        return _from_object(_attribute(_import(parent), last), name)
    return _search(module)


class _Missing(AppNotFound):
    """The module itself does not exist."""


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(f"{exc.name}.")):
            raise _Missing(_explain_missing(name)) from exc
        raise AppNotFound(_explain_failure(name, exc)) from exc
    except Exception as exc:
        raise AppNotFound(_explain_failure(name, exc)) from exc


def _explain_malformed(name: str) -> str:
    """For what no module can be called: nothing, a relative name, a path."""
    path, colon, attribute = name.partition(":")
    module = ".".join(word for word in path.removesuffix(".py").replace("/", ".").split(".") if word)
    if not module:
        return f"-A {name!r} names no module. Give its name, as in -A proj or -A proj.module:attribute"
    return (
        f"The module {path} was not found. Give the name of the module, not of the file: -A {module}{colon}{attribute}"
    )


def _explain_missing(name: str) -> str:
    text = f"The module {name} was not found."
    if name.endswith(".py"):
        return f"{text} Give the name of the module, not of the file: -A {name[:-3]}"
    from pathlib import Path

    here = Path.cwd()
    modules = [path.stem for path in here.glob("*.py")] + [path.parent.name for path in here.glob("*/__init__.py")]
    close = closest(name.partition(".")[0], modules, _SIMILARITY)
    if close is not None and close != name:
        return f"{text} Did you mean -A {close}?"
    return f"{text} Looked in {here} and on sys.path; use --workdir to look elsewhere."


def _explain_failure(name: str, exc: Exception) -> str:
    return f"Importing the module {name} failed:\n\n{user_traceback(exc)}"


def user_traceback(exc: BaseException) -> str:
    """A traceback from the user's first line on: the import machinery above it says nothing."""
    return "".join(traceback.format_exception(type(exc), exc, _first_user_frame(exc), chain=False)).rstrip()


def has_user_frame(exc: BaseException) -> bool:
    """Whether an error came out of the user's code."""
    return _first_user_frame(exc) is not None


def _first_user_frame(exc: BaseException) -> TracebackType | None:
    frame = exc.__traceback__
    while frame is not None and _is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return frame


def _is_machinery(filename: str) -> bool:
    return filename.startswith(("<frozen", _OUR_FILES)) or filename == importlib.__file__


def _attribute(module: ModuleType, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        try:
            value = getattr(value, part)
        except AttributeError as exc:
            known = [key for key, found in vars(module).items() if isinstance(found, Celery)]
            hint = f" It has the apps: {', '.join(known)}" if known else ""
            raise AppNotFound(f"Module {module.__name__!r} has no attribute {path!r}.{hint}") from exc
    return value


def _from_object(found: Any, name: str) -> Celery:
    return _search(found) if isinstance(found, ModuleType) else _check(found, name)


def read_settings(app: Celery) -> None:
    """Read the app's settings now, so that an error in them is told as one.

    Raises:
        click.ClickException: Their source cannot be imported.
        ImproperlyConfigured: A setting has a value that it cannot have.
    """
    try:
        app.conf.value_set_for("broker_url")
    except (CeleryError, click.ClickException):
        raise
    except Exception as exc:
        raise click.ClickException(f"Unable to load the settings.\n{user_traceback(exc)}") from exc


def import_tasks(app: Celery) -> None:
    """Import the modules that declare the app's tasks, as a worker does.

    Raises:
        ImproperlyConfigured: One of them cannot be imported.
    """
    try:
        app.import_default_modules()
    except Exception as exc:
        raise ImproperlyConfigured(f"Importing task modules failed: {type(exc).__name__}: {exc}") from exc


def _check(found: Any, name: str) -> Celery:
    if isinstance(found, ModuleType):
        return _search(found)
    if isinstance(found, Celery):
        return found
    if (refusal := _explain_original(found)) is not None:
        raise AppNotFound(f"{name} is {refusal}.")
    hint = "; assign the app that it makes to a name, and give that" if isinstance(found, FunctionType) else ""
    raise AppNotFound(f"{name} is {found!r:.100}, which is not a celeriac.Celery app{hint}.")


def _explain_original(found: Any) -> str | None:
    """For an app of Celery itself, which was imported before we could stand in for it."""
    kinds = {(kind.__module__, kind.__name__) for kind in type(found).__mro__}
    if ("celery.app.base", "Celery") not in kinds:
        return None
    return (
        "an app of Celery itself, which was imported before this command began. Start it as "
        "`celeriac exec -- celery ...`, or make the app with celeriac.Celery"
    )


def _search(module: ModuleType) -> Celery:
    """The app of a module: under a usual name, in a usual submodule of a package, or the first there is."""
    for attribute in _ATTRIBUTES:
        found = getattr(module, attribute, None)
        if isinstance(found, Celery):
            return found
    if hasattr(module, "__path__"):
        for submodule in _SUBMODULES:
            try:
                return _search(_import(f"{module.__name__}.{submodule}"))
            except _Missing:
                continue
    for found in vars(module).values():
        if isinstance(found, Celery):
            return found
    raise AppNotFound(_explain_none(module))


def _explain_none(module: ModuleType) -> str:
    other = getattr(module, "app", None)
    name = module.__name__
    text = f"Module {name!r} has no attribute 'celery' or 'app' that is a celeriac.Celery app."
    for candidate in (other, getattr(module, "celery", None)):
        if (refusal := _explain_original(candidate)) is not None:
            return f"The app of {name} is {refusal}."
    if other is not None and not isinstance(other, ModuleType):
        kind = type(other)
        return f"{text} Its 'app' is a {kind.__module__}.{kind.__qualname__}; name the app: -A {name}:attribute"
    return f"{text} Create one there, as in: app = Celery({name!r})"


def make_working_directory_importable(directory: Path | None = None) -> None:
    """Put a directory first on ``sys.path``, as ``python -m`` does, so that both ways to start are alike.

    Args:
        directory: None is the current one.
    """
    here = str(directory or os.getcwd())  # noqa: PTH109 - a worker and its children do without pathlib
    if here not in sys.path and (directory is not None or "" not in sys.path):
        sys.path.insert(0, here)
