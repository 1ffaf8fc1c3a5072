"""``celeriac exec``: runs a program in which ``celery`` is Celeriac."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from celeriac.cli.options import Command

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Exit codes of shells for a program that is not there, and for one that cannot be run.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: What stands in for Celery: a directory for Python's path, and the programs in it.
_SHIM = Path(__file__).parents[1] / "compat" / "shim"


class _Exec(Command):
    """A command that reads no settings: they are the program's."""

    def invoke(self, ctx: click.Context) -> Any:
        return click.Command.invoke(self, ctx)


@click.command(
    "exec",
    cls=_Exec,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[--]",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...]) -> NoReturn:
    """Run a program in which the name celery means Celeriac.

    It holds for the program and for those that it starts, also where Celery is installed; nothing installed is
    changed. Apps have Celery's defaults, unless their setting celery_defaults is False. Programs in the directory of
    this Python are found first, and python is this Python.
    """
    environment = shim_environment(os.environ)
    path = shutil.which(command[0], path=environment["PATH"])
    if path is None:
        click.echo(f"Error: {command[0]} was not found in {environment['PATH']}", err=True)
        sys.exit(_NOT_FOUND)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(path, command, environment)  # noqa: S606 - it is what the user asked for
    except OSError as exc:
        click.echo(f"Error: {path} cannot be run: {exc.strerror}", err=True)
        sys.exit(_NOT_EXECUTABLE)


cast("Command", exec_).examples = (
    ("celeriac exec -- celery -A proj worker", "a worker for an unchanged project"),
    ("celeriac exec -- python manage.py runserver", "its web server"),
)


def shim_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program in which ``celery`` is Celeriac.

    Args:
        environment: The one it would have otherwise.
    """
    programs = [str(_SHIM / "bin"), str(Path(sys.executable).parent)]
    paths = [*programs, *_without(environment.get("PATH", os.defpath), programs)]
    modules = [str(_SHIM), *_without(environment.get("PYTHONPATH", ""), [str(_SHIM)])]
    return {
        **environment,
        "PATH": os.pathsep.join(paths),
        "PYTHONPATH": os.pathsep.join(modules),
        "CELERIAC_PYTHON": sys.executable,
    }


def _without(paths: str, unwanted: list[str]) -> list[str]:
    return [path for path in paths.split(os.pathsep) if path and path not in unwanted]
