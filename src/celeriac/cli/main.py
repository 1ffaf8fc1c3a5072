"""The program ``celeriac``: global options, the table of commands, and exit codes.

Commands are imported when they are run: asking for help, or a mistyped command, loads none of them.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from celeriac._version import __version__
from celeriac.cli.errors import EX_FAILURE, explain
from celeriac.cli.find_app import find_app, make_working_directory_importable
from celeriac.cli.options import Group, option
from celeriac.cli.state import DETACHED_VARIABLE, State
from celeriac.compat.importer import open_for_project
from celeriac.exceptions import CeleryWarning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.app.base import Celery

#: Prefix of environment variables: ``CELERY_WORKER_CONCURRENCY`` is ``worker --concurrency``.
ENVIRONMENT_PREFIX = "CELERY"


class Entry(NamedTuple):
    """One row of the table of commands.

    Attributes:
        path: ``module:attribute`` of the command.
        help: One line.
        section: Heading it is listed under.
    """

    path: str
    help: str
    section: str


COMMANDS = {
    "worker": Entry("celeriac.cli.worker:worker", "Run tasks.", "Run"),
    "multi": Entry("celeriac.cli.multi:multi", "Start and stop several workers of this host.", "Run"),
    "beat": Entry("celeriac.cli.beat:beat", "Send periodic tasks when they are due.", "Run"),
    "schedule": Entry("celeriac.cli.schedule:schedule_", "Show and edit periodic tasks.", "Run"),
    "events": Entry("celeriac.cli.events:events", "Watch workers and tasks.", "Run"),
    "exec": Entry("celeriac.cli.exec:exec_", "Run a program in which celery is Celeriac.", "Run"),
    "call": Entry("celeriac.cli.admin:call", "Call a task by name and print its id.", "Tasks and results"),
    "result": Entry("celeriac.cli.admin:result", "Wait for the result of a task and print it.", "Tasks and results"),
    "list": Entry("celeriac.cli.admin:list_", "List tasks, queues or bindings.", "Queues"),
    "release": Entry("celeriac.cli.admin:release", "Leave delayed messages to Celery's workers.", "Queues"),
    "migrate": Entry("celeriac.cli.migrate:migrate", "Send messages to another broker.", "Queues"),
    "amqp": Entry("celeriac.cli.amqp:amqp", "Call AMQP methods on RabbitMQ.", "Queues"),
    "dead": Entry("celeriac.cli.dead:dead", "Look after messages that were set aside.", "Queues"),
    "purge": Entry("celeriac.cli.admin:purge", "Delete the messages that wait in queues.", "Queues"),
    "status": Entry("celeriac.cli.control:status", "Show which workers are up.", "Workers"),
    "inspect": Entry("celeriac.cli.control:inspect", "Ask running workers about themselves.", "Workers"),
    "control": Entry("celeriac.cli.control:control", "Tell running workers what to do.", "Workers"),
    "graph": Entry("celeriac.cli.graph:graph", "Draw the steps of a worker, or the workers.", "Workers"),
    "doctor": Entry("celeriac.cli.doctor:doctor", "Tell what of a project works, and what to change.", "Diagnostics"),
    "shell": Entry("celeriac.cli.shell:shell", "Start Python with the app at hand.", "Diagnostics"),
    "logtool": Entry("celeriac.cli.logtool:logtool", "Tell what the logs of workers say.", "Diagnostics"),
    "upgrade": Entry("celeriac.cli.upgrade:upgrade", "Replace old names of settings.", "Diagnostics"),
    "report": Entry("celeriac.cli.admin:report", "Print versions and settings, for a bug report.", "Diagnostics"),
}


class LazyGroup(Group):
    """The commands of the table, and those of plug-ins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(_plugins().plugins().keys() - COMMANDS.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is not None:
            module, _, attribute = entry.path.partition(":")
            found: click.Command = getattr(importlib.import_module(module), attribute)
            return found
        plugin = _plugins().plugins().get(cmd_name)
        loaded: click.Command | None = None if plugin is None else _plugins().load(plugin)
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in COMMANDS.items():
            sections.setdefault(entry.section, []).append((name, entry.help))
        for name, plugin in sorted(_plugins().plugins().items()):
            if name not in COMMANDS:
                sections.setdefault("Plug-ins", []).append((name, f"From {_plugins().origin(plugin)}."))
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows, col_max=10)


def _plugins() -> Any:
    """The module about plug-ins: reading the metadata of all distributions takes longer than most commands."""
    return importlib.import_module("celeriac.cli.plugins")


# -------------------------------------------------------------------------------------------- global options


def _change_directory(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Before anything is imported; a detached process is there already."""
    if value is None or ctx.resilient_parsing:
        return value
    if DETACHED_VARIABLE not in os.environ:
        try:
            os.chdir(value)
        except OSError as exc:
            raise click.BadParameter(f"cannot change to {value!r}: {exc.strerror}", ctx, param) from None
    from pathlib import Path

    make_working_directory_importable(Path.cwd())
    return value


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import platform

        click.echo(f"celeriac {__version__} ({platform.python_implementation()} {platform.python_version()})")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="COMMAND [ARGS]...",
    epilog="Every option can also be given in the environment: CELERY_APP=proj, CELERY_WORKER_CONCURRENCY=4. "
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 69 the broker or the result backend cannot be reached, "
    "73 the pid file belongs to a running process.",
)
@option("-A", "--app", envvar=["CELERY_APP", "APP"], metavar="APP",
        help="The application: module, module:attribute or package.module.attribute. A module is searched for "
             "'app', then 'celery'.")  # fmt: skip
@option("-b", "--broker", envvar="BROKER_URL", metavar="URL", help="Broker; wins over every setting.")
@option("--result-backend", envvar="RESULT_BACKEND", metavar="URL", help="Result backend; wins over every setting.")
@option("--config", envvar="CONFIG_MODULE", metavar="MODULE",
        help="Module of settings for an app that is given none by its code.")  # fmt: skip
@option("--loader", envvar="LOADER", metavar="NAME",
        help="For an app whose code names none: 'app', or 'default', which also looks for celeriacconfig.py and "
             "celeryconfig.py.")  # fmt: skip
@option("--workdir", metavar="PATH", is_eager=True, callback=_change_directory,
        help="Change to this directory before anything is imported.")  # fmt: skip
@option("-C", "--no-color", is_flag=True, help="Never colour; NO_COLOR in the environment does the same.")
@option("-q", "--quiet", is_flag=True, help="Print no banner and no notes.")
@option("--skip-checks", envvar="SKIP_CHECKS", is_flag=True, help="Skip the system checks of a Django project.")
@option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
        help="Print the version.")  # fmt: skip
@click.pass_context
def cli(
    ctx: click.Context,
    /,
    app: str | None,
    broker: str | None,
    result_backend: str | None,
    config: str | None,
    loader: str | None,
    workdir: str | None,
    no_color: bool,
    quiet: bool,
    skip_checks: bool,
) -> None:
    """Run and look after the tasks of an application.

    Without any configuration, tasks and results are kept in an SQLite file in your state directory.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()
    state: State = ctx.obj
    state.quiet, state.workdir = quiet, workdir
    state.no_color = no_color or bool(os.environ.get("NO_COLOR"))
    if state.no_color:
        ctx.color = False
    _export(
        CELERY_BROKER_URL=broker,
        CELERY_RESULT_BACKEND=result_backend,
        CELERY_LOADER=loader,
        CELERY_CONFIG_MODULE=config,
        CELERY_SKIP_CHECKS="true" if skip_checks else None,
    )
    if app is not None:
        make_working_directory_importable()
        # Projects written for Celery run as they are.
        open_for_project(app)
        state.app_name = app
        state.given_app = find_app(app)
        state.given_app.set_current()
        state.given_app.set_default()


cli.examples = (
    ("celeriac -A proj worker -l INFO", "run the tasks of proj"),
    ("celeriac -A proj call proj.tasks.add -a '[2, 3]'", "call a task"),
    ("celeriac -A proj result ID", "print its result"),
    ("celeriac worker --help", "what a command can do"),
)


def _export(**variables: str | None) -> None:
    """Options that the settings read from the environment; children inherit them."""
    for name, value in variables.items():
        if value is not None:
            os.environ[name] = value


# ------------------------------------------------------------------------------------------------- running


def run(argv: Sequence[str] | None = None, app: Celery | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None is those of the process.
        app: The app, for `Celery.start`; ``-A`` still wins.

    Returns:
        Exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    state = State(arguments, given_app=app, bound=app is not None)
    try:
        code = cli.main(arguments, obj=state, standalone_mode=False, auto_envvar_prefix=ENVIRONMENT_PREFIX)
    except click.exceptions.Abort:
        click.echo("Aborted.", err=True)
        return EX_FAILURE
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except Exception as exc:
        message, code = explain(exc)
        if message is None:
            raise
        click.echo(f"Error: {message}", err=True)
        return code
    return code if type(code) is int else 0


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Ours are for operators, to whom a line of our code says nothing."""
    if issubclass(category, CeleryWarning):
        return f"{category.__name__}: {message}\n"
    return _standard_format(message, category, filename, lineno, line)


_standard_format = warnings.formatwarning


def main() -> None:
    """The program."""
    warnings.formatwarning = _format_warning
    sys.exit(run())
