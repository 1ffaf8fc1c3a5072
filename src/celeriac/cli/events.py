"""``celeriac events``: the monitor in the terminal, events as lines, or snapshots by a camera."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.daemon import Daemon, daemon_options
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import LOG_LEVEL, command, option
from celeriac.log import setup_logging
from celeriac.utils.nodenames import default_nodename, host_format

if TYPE_CHECKING:
    from celeriac.cli.state import State

LINES, CAMERA = "Lines", "Snapshots"


@command(
    "events",
    examples=(
        ("celeriac -A proj events", "watch workers and tasks in the terminal"),
        ("celeriac -A proj events --dump", "print every event"),
        ("celeriac -A proj events -c proj.Camera -F 10", "a snapshot every ten seconds"),
    ),
    epilog="Workers send events about tasks when they are started with -E; those about themselves always.",
)
@option("-d", "--dump", is_flag=True, section=LINES, help="Print events, one on a line.")
@option("-c", "--camera", metavar="CLASS", section=CAMERA, help="Take snapshots with this class, a Polaroid.")
@option("-F", "--freq", "--frequency", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
        metavar="SECONDS", section=CAMERA, help="Time between two snapshots.")  # fmt: skip
@option("-r", "--maxrate", metavar="RATE", section=CAMERA, help="Most snapshots in a time, as in 10/m.")
@option("-l", "--loglevel", type=LOG_LEVEL, default="INFO", show_default=True, metavar="LEVEL", section=CAMERA,
        help="Least level to log: DEBUG, INFO, WARNING, ERROR, CRITICAL or FATAL.")  # fmt: skip
@daemon_options("events", ("--detach",))
@click.pass_context
def events(ctx: click.Context, /, dump: bool, camera: str | None, **given: Any) -> None:
    """Watch workers and tasks in the terminal; with an option, print events or take snapshots."""
    state: State = ctx.obj
    if dump and camera:
        raise click.UsageError("--dump prints events and --camera takes snapshots: give one of them", ctx)
    daemon = Daemon("events", host_format(default_nodename(None, "celeryev")), state.app, given)
    if not (dump or camera):
        if daemon.is_to_detach:
            raise click.UsageError("the monitor needs a terminal: --detach goes with --camera", ctx)
        ctx.exit(_monitor(ctx, state))
    if daemon.is_to_detach:
        ctx.exit(daemon.detach(ctx, state))
    service = _dump if camera is None else _take_snapshots
    ctx.exit(daemon.run(state, lambda: service(state, camera, given, daemon.logfile)))


def _monitor(ctx: click.Context, state: State) -> int:
    """The monitor, if it is installed and there is a terminal for it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("the monitor needs a terminal; --dump prints events anywhere", ctx)
    try:
        screen = importlib.import_module("celeriac.cli.monitor.screen")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in ("textual", "rich"):
            raise
        raise click.ClickException(
            "the monitor needs the package textual: pip install 'celeriac[tui]'; --dump works without it"
        ) from None
    state.app.finalize()
    screen.Monitor(state.app).run()
    return 0


def _dump(state: State, camera: str | None, given: dict[str, Any], logfile: str | None) -> int:
    from celeriac.events.dumper import evdump

    evdump(state.app, stop=_stop_at_signals())
    return 0


def _take_snapshots(state: State, camera: str | None, given: dict[str, Any], logfile: str | None) -> int:
    from celeriac.events.snapshot import evcam

    app = state.app
    setup_logging(app, loglevel=given["loglevel"], logfile=logfile, colorize=False if state.no_color else None)
    app.set_current()
    import_tasks(app)
    evcam(camera, given["freq"], given["maxrate"], app=app, stop=_stop_at_signals())
    return 0


def _stop_at_signals() -> threading.Event:
    """Set by SIGTERM and SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
