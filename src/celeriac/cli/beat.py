"""``celeriac beat``: from options to a running `Service`, with its banner and signals."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from celeriac._version import __version__
from celeriac.beat import Service
from celeriac.beat.status import BeatStatus
from celeriac.cli.daemon import Daemon, apply_settings, daemon_options, log_format_option, set_log_format
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import LOG_LEVEL, command, option
from celeriac.log import setup_logging
from celeriac.utils.imports import qualname
from celeriac.utils.nodenames import default_nodename, host_format
from celeriac.utils.time import humanize_seconds

if TYPE_CHECKING:
    from celeriac.beat import Scheduler
    from celeriac.cli.state import State


@command(
    "beat",
    examples=(
        ("celeriac -A proj beat -l INFO", "send the periodic tasks of proj"),
        ("celeriac -A proj beat -s redis://localhost/2", "keep the schedule where other hosts find it"),
        ("celeriac -A proj beat -S proj.beat:Scheduler", "with a scheduler of your own"),
    ),
    epilog="Any number of beats may share a schedule: one leads, and another takes over when it vanishes. "
    "Ctrl-C or TERM stops it. `celeriac schedule` shows and edits the schedule.",
)
@option("-s", "--schedule", metavar="PATH|URL",
        help="Where the schedule is kept: an SQLite file, or redis://, postgresql://, mysql://. "
             "Default: beat_store_url, or else beat_schedule_filename.")  # fmt: skip
@option("-S", "--scheduler", metavar="CLASS", help="Class of the scheduler. Default: beat_scheduler.")
@option("--max-interval", type=click.FloatRange(0), metavar="SECONDS",
        help="Longest sleep between two ticks. Default: beat_max_loop_interval, or the scheduler's own.")  # fmt: skip
@option("-l", "--loglevel", type=LOG_LEVEL, default="WARNING", show_default=True, metavar="LEVEL",
        help="Least level to log: DEBUG, INFO, WARNING, ERROR, CRITICAL or FATAL.")  # fmt: skip
@option("--http", "http_address", metavar="HOST:PORT",
        help="Answer /livez, /readyz and /metrics there. Default: beat_http_address.")  # fmt: skip
@log_format_option()
@option("-n", "--hostname", metavar="NAME",
        help="Name of the node, in file names and for remote control. Default: celerybeat@<host>.")  # fmt: skip
@option("--enable-remote-control/--no-enable-remote-control", default=None,
        help="Answer `celeriac inspect ping`. Default: beat_enable_remote_control.")  # fmt: skip
@daemon_options("beat", ("--detach",))
@click.argument("settings", nargs=-1, metavar="[-- SETTING=VALUE]...")
@click.pass_context
def beat(ctx: click.Context, /, settings: tuple[str, ...], **given: Any) -> None:
    """Send periodic tasks when they are due.

    What follows -- are settings: timezone=Europe/Prague beat_lease=30.
    """
    state: State = ctx.obj
    app = state.app
    apply_settings(ctx, app, settings, "celery")
    set_log_format(app, given.pop("log_format"))
    given["hostname"] = host_format(default_nodename(given["hostname"], "celerybeat"))
    daemon = Daemon("beat", given["hostname"], app, given)
    if daemon.is_to_detach:
        ctx.exit(daemon.detach(ctx, state))
    ctx.exit(daemon.run(state, lambda: _run(state, given, daemon.logfile)))


def _run(state: State, given: dict[str, Any], logfile: str | None) -> int:
    """Tick until a signal comes."""
    app = state.app
    setup_logging(app, loglevel=given["loglevel"], logfile=logfile, colorize=False if state.no_color else None)
    if not state.quiet:
        state.echo(f"celeriac beat v{__version__} is starting.")
    app.set_current()
    app.finalize()
    import_tasks(app)
    service = Service(
        app,
        max_interval=given["max_interval"] or None,
        schedule_filename=given["schedule"],
        scheduler_cls=given["scheduler"],
        remote_control=given["enable_remote_control"],
        hostname=given["hostname"],
    )
    scheduler = service.get_scheduler(lazy=True)
    if not state.quiet:
        state.echo(_banner(state, service, scheduler, given["loglevel"], logfile))

    def stop(number: int, frame: object) -> None:
        # The interrupted code may be holding the very lock that stopping needs.
        threading.Thread(target=service.stop, name="Stop").start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    address = given["http_address"] or app.conf.beat_http_address
    status = BeatStatus(address, service) if address else None
    if status is not None:
        status.start()
    try:
        service.start()
    finally:
        if status is not None:
            status.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _banner(state: State, service: Service, scheduler: Scheduler, level: str, logfile: str | None) -> str:
    app = state.app
    interval = scheduler.max_interval
    lines = [
        f"LocalTime -> {time.strftime('%Y-%m-%d %H:%M:%S')}",
        "Configuration ->",
        f"    . broker -> {app.broker.url}",
        f"    . loader -> {app.loader_cls if isinstance(app.loader_cls, str) else qualname(app.loader_cls)}",
        f"    . scheduler -> {qualname(type(scheduler))}",
        *filter(None, [scheduler.info]),
        f"    . logfile -> {logfile or '[stderr]'}@%{level}",
        f"    . maxinterval -> {humanize_seconds(interval, microseconds=True)} ({interval:g}s)",
    ]
    return "\n".join(lines)
