"""``celeriac shell``: an interactive Python with the app and its tasks at hand."""

from __future__ import annotations

import code
import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from celeriac import canvas
from celeriac._version import __version__
from celeriac.app.builtins import BUILT_IN
from celeriac.app.task import Task
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import command, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.cli.state import State

_CANVAS = ("chord", "group", "chain", "chunks", "xmap", "xstarmap", "subtask", "signature")
_BANNER = "Celeriac {version}: the app is `app`, and its tasks go by their names."


@command(
    "shell",
    examples=(
        ("celeriac -A proj shell", "IPython or bpython where they are installed, else Python's own"),
        ("celeriac -A proj shell --python", "Python's own"),
    ),
    epilog="There are: app (also as celery), Task, chord, group, chain, chunks, xmap, xstarmap, subtask, signature, "
    "and the tasks of the app by the last part of their names.",
)
@option("-I", "--ipython", "wanted", flag_value="ipython", help="Use IPython.")
@option("-B", "--bpython", "wanted", flag_value="bpython", help="Use bpython.")
@option("--python", "wanted", flag_value="python", help="Use Python's own prompt.")
@option("-T", "--without-tasks", is_flag=True, help="Leave the tasks out.")
@click.pass_obj
def shell(state: State, /, wanted: str | None, without_tasks: bool) -> None:
    """Start an interactive Python with the app and its tasks at hand."""
    app = state.app
    import_tasks(app)
    names = namespace(app, tasks=not without_tasks)
    banner = "" if state.quiet else _BANNER.format(version=__version__)
    _SHELLS[wanted or _installed()](names, banner)


def namespace(app: Celery, *, tasks: bool) -> dict[str, Any]:
    """Names that the prompt knows.

    Args:
        app: The app.
        tasks: Its tasks too; a name of ours wins over a task of the same name.
    """
    found: dict[str, Any] = {}
    if tasks:
        found = {name.rpartition(".")[2]: task for name, task in app.tasks.items() if not name.startswith(BUILT_IN)}
    found |= {name: getattr(canvas, name) for name in _CANVAS}
    return found | {"app": app, "celery": app, "Task": Task}


def _installed() -> str:
    return next(
        (name for name, module in (("ipython", "IPython"), ("bpython", "bpython")) if find_spec(module)), "python"
    )


def _import(module: str, flag: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        package = module.partition(".")[0]
        raise click.UsageError(
            f"{flag} needs {package}, which is not installed: pip install {package.lower()}"
        ) from exc


def _ipython(names: dict[str, Any], banner: str) -> None:
    if banner:
        click.echo(banner)
    _import("IPython", "--ipython").start_ipython(argv=[], user_ns=names)


def _bpython(names: dict[str, Any], banner: str) -> None:
    _import("bpython", "--bpython").embed(locals_=names, banner=banner)


def _python(names: dict[str, Any], banner: str) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:
        pass  # Python was built without line editing
    else:
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=banner, local=names, exitmsg="")


_SHELLS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "ipython": _ipython,
    "bpython": _bpython,
    "python": _python,
}
