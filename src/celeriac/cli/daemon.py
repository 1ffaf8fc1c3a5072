"""What ``worker`` and ``beat`` share as services: pid file, privileges, detaching, and settings after ``--``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from celeriac.cli.errors import EX_CANTCREAT, EX_OK
from celeriac.cli.options import option
from celeriac.cli.state import DETACHED_VARIABLE
from celeriac.config.options import OPTIONS
from celeriac.log import JSON
from celeriac.platform.daemon import check_writable, detach, parse_umask
from celeriac.platform.pidfile import PidfileHeld, pidfile
from celeriac.platform.privileges import check_privileges, drop_privileges
from celeriac.utils.nodenames import node_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.cli.options import F
    from celeriac.cli.state import State

SECTION = "Running as a service"
#: Daemon options that are settings too: ``worker_logfile`` and so on.
_SETTINGS = ("logfile", "pidfile", "uid", "gid", "umask", "executable")


def daemon_options(command: str, detach_flags: tuple[str, ...] = ("-D", "--detach")) -> Callable[[F], F]:
    """Decorator: the options of a service.

    Args:
        command: ``worker`` or ``beat``.
        detach_flags: Names of the option that detaches.
    """
    options = (
        option(*detach_flags, is_flag=True, section=SECTION, help="Run in the background. Give --logfile too."),
        option("-f", "--logfile", metavar="PATH", section=SECTION,
               help=f"Log there. Default: {command}_logfile, or stderr."),
        option("--pidfile", metavar="PATH", section=SECTION,
               help=f"Keep the process id there; a second {command} with the same file does not start."),
        option("--uid", metavar="USER", section=SECTION, help="Become this user, by name or number."),
        option("--gid", metavar="GROUP", section=SECTION, help="Become this group. Default: the user's."),
        option("--umask", metavar="MASK", section=SECTION, help="File mode mask; octal with a leading 0, as in 022."),
        option("--executable", metavar="PATH", section=SECTION, help="Python interpreter for --detach."),
    )  # fmt: skip

    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


def log_format_option(**kwargs: Any) -> Callable[[F], F]:
    """Decorator: ``--log-format``."""
    return option(
        "--log-format", type=click.Choice(["text", JSON]), **kwargs,
        help="How to log: text, or an object of JSON for each line. Default: worker_log_format.",
    )  # fmt: skip


def set_log_format(app: Celery, wanted: str | None) -> None:
    """Take ``--log-format``, which wins over the settings."""
    if wanted == JSON:
        app.conf.worker_log_format = JSON
    elif wanted is not None and app.conf.worker_log_format == JSON:
        app.conf.worker_log_format = OPTIONS["worker_log_format"].default


def apply_settings(ctx: click.Context, app: Celery, settings: tuple[str, ...], namespace: str) -> None:
    """Take the settings after ``--``.

    Raises:
        UsageError: They cannot be read.
    """
    if not settings:
        return
    try:
        app.config_from_cmdline(settings, namespace=namespace)
    except (KeyError, ValueError) as exc:
        raise click.UsageError(
            f"Unable to parse extra configuration from command line.\nReason: {exc.args[0] if exc.args else exc}", ctx
        ) from exc


class Daemon:
    """A service about to start.

    Args:
        command: ``worker`` or ``beat``; names the settings of the options that are left out.
        node: Node name, for ``%n`` and the like in file names.
        app: The application.
        given: Options of the command; those of a service are taken out.

    Attributes:
        logfile: Where it logs; None is stderr.
        is_to_detach: It shall run in the background, and does not yet.
    """

    def __init__(self, command: str, node: str, app: Celery, given: dict[str, Any]) -> None:
        self.command = command
        options = {name: given.pop(name) for name in _SETTINGS}
        options = {
            name: app.conf.get(f"{command}_{name}") if value is None else value for name, value in options.items()
        }
        self.logfile = _expand(node, options["logfile"])
        self._pidfile = _expand(node, options["pidfile"])
        self._options = options
        detached = os.environ.pop(DETACHED_VARIABLE, None) is not None
        self.is_to_detach = given.pop("detach") and not detached

    def run(self, state: State, service: Callable[[], int]) -> int:
        """Run the service; returns its exit status."""
        options = self._options
        umask = parse_umask(options["umask"])
        if umask is not None:
            os.umask(umask)
        drop_privileges(options["uid"], options["gid"])
        if self.command == "worker":
            check_privileges(state.app.conf.accept_content)
        check_writable(self.logfile)
        try:
            with pidfile(self._pidfile):
                return service()
        except PidfileHeld as exc:
            state.error(f"ERROR: {exc}")
            return EX_CANTCREAT

    def restart(self, state: State) -> NoReturn:
        """Start the program anew in this process, with the arguments it had."""
        command = [sys.executable, *sys.orig_argv[1:]]
        state.echo(f"Restarting celeriac {self.command} ({' '.join(command)})")
        sys.stdout.flush()
        sys.stderr.flush()
        # It is in its directory, and in the background, already.
        os.environ[DETACHED_VARIABLE] = "1"
        os.execv(command[0], command)  # noqa: S606 - the arguments this program itself was given

    def detach(self, ctx: click.Context, state: State) -> int:
        """Start anew in the background, unless the pid file is held; returns the exit status."""
        if state.bound and state.app_name is None:
            raise click.UsageError(
                f"--detach starts the {self.command} anew as `python -m celeriac`, which cannot know the app of this "
                f"program: use celeriac -A module {self.command} --detach",
                ctx,
            )
        try:
            with pidfile(self._pidfile):
                pass
        except PidfileHeld as exc:
            state.error(f"ERROR: {exc}")
            return EX_CANTCREAT
        if self.logfile is None and not state.quiet:
            state.error(f"Note: what a detached {self.command} without --logfile says is lost.")
        os.environ[DETACHED_VARIABLE] = "1"
        options = self._options
        try:
            pid = detach(
                ["-m", "celeriac", *state.argv],
                executable=options["executable"],
                logfile=self.logfile,
                user=options["uid"],
                group=options["gid"],
                umask=parse_umask(options["umask"]),
            )
        finally:
            del os.environ[DETACHED_VARIABLE]
        if not state.quiet:
            state.echo(f"The {self.command} runs in the background as process {pid}.")
        sys.stdout.flush()
        return EX_OK


def _expand(node: str, path: str | None) -> str | None:
    try:
        return None if path is None else node_format(path, node)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
