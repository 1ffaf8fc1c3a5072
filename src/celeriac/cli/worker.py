"""``celeriac worker``: from options to a running `Worker`, as a service."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.daemon import Daemon, apply_settings, daemon_options, log_format_option, set_log_format
from celeriac.cli.options import COMMA_SEPARATED_LIST, LOG_LEVEL, ParamType, command, option
from celeriac.exceptions import ImproperlyConfigured
from celeriac.pool.custom import is_custom
from celeriac.utils.nodenames import default_nodename, host_format
from celeriac.worker.assembly import POOLS, Worker, WorkerOptions
from celeriac.worker.autoscale import parse_autoscale

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.cli.options import F
    from celeriac.cli.state import State

WORK, QUEUES, LIMITS, EVENTS, PROBES, BEAT = "Work", "Queues", "Limits", "Events", "Probes", "Periodic tasks"


class Concurrency(ParamType):
    """A number of tasks at once, or ``auto``."""

    name = "number|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if str(value).lower() == "auto":
            return 0
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)
        if number < 0:
            self.fail(f"{value!r} is negative", param, ctx)
        return number


class Autoscale(ParamType):
    """Most and least tasks at once."""

    name = "max,min"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            return parse_autoscale(value)
        except ImproperlyConfigured as exc:
            self.fail(str(exc), param, ctx)


class Pool(ParamType):
    """A pool that is there."""

    name = "pool"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in POOLS and not is_custom(value):
            self.fail(f"there is no pool {value!r}; there are {', '.join(POOLS)}, and class paths", param, ctx)
        return str(value)


def nothing_to_turn_off(name: str, what: str) -> Callable[[F], F]:
    """Decorator: an option that turns off what this version does not have, and is therefore true.

    Args:
        name: The option.
        what: What it turns off.
    """
    return option(name, is_flag=True, expose_value=False, hidden=True, help=f"This version has no {what} to turn off.")


@command(
    "worker",
    examples=(
        ("celeriac -A proj worker -l INFO", "all queues, a child for each CPU"),
        ("celeriac -A proj worker -Q images -c 2", "only the queue 'images', two tasks at once"),
        ("celeriac -A proj worker -P threads -c 32", "32 threads in one child"),
        ("celeriac -A proj worker -- broker.lease=60", "change a setting for this worker"),
    ),
    epilog="Ctrl-C or TERM: finish what runs, then leave; a second Ctrl-C, or QUIT, ends it. "
    "%n in file names is the short name of the node, %h its host, %p both, %d the domain.",
)
@option("-l", "--loglevel", type=LOG_LEVEL, default="WARNING", show_default=True, metavar="LEVEL", section=WORK,
        help="Least level to log: DEBUG, INFO, WARNING, ERROR, CRITICAL or FATAL.")  # fmt: skip
@log_format_option(section=WORK)
@option("-n", "--hostname", metavar="NAME", section=WORK,
        help="Name of the node: name, or name@%h. Default: celery@<host>.")  # fmt: skip
@option("-I", "--include", type=COMMA_SEPARATED_LIST, metavar="MODULES", section=WORK,
        help="Further modules to import, separated by commas.")  # fmt: skip
@option("-S", "--statedb", metavar="PATH", section=WORK,
        help="File that keeps what is revoked from one run to the next. Default: worker_state_db.")  # fmt: skip
@option("-P", "--pool", type=Pool(), metavar="POOL", section=WORK,
        help="How tasks run: prefork (child processes), threads, asyncio (coroutines in one child), gevent or eventlet "
             "(greenlets in one child), or solo (in this process, one at a time); or a class path. Default: "
             "worker_pool, which is prefork.")  # fmt: skip
@option("-c", "--concurrency", type=Concurrency(), metavar="N|auto", section=WORK,
        help="Tasks at once. Default: worker_concurrency, or the number of CPUs.")  # fmt: skip
@option("--autoscale", type=Autoscale(), metavar="MAX,MIN", section=WORK,
        help="Grow to MAX tasks at once as tasks arrive, shrink to MIN when they do not.")  # fmt: skip
@option("--prefetch-multiplier", type=click.IntRange(0), metavar="N", section=WORK,
        help="Messages to claim ahead for each task at once. Default: worker_prefetch_multiplier, and more while "
             "tasks are short.")  # fmt: skip
@option("--disable-prefetch", is_flag=True, default=None, section=WORK,
        help="Claim a message only when it can start at once.")  # fmt: skip
@option("--pool-start-method", type=click.Choice(["fork", "spawn"]), section=WORK,
        help="How children are started: fork (of a process that has imported the application), or spawn (a new "
             "interpreter, which imports it). Default: worker_pool_start_method, which is fork.")  # fmt: skip
@option("-O", "--optimization", type=click.Choice(["default", "fair"]), expose_value=False, hidden=True,
        help="Both mean the same here: a task goes to a child that is free.")  # fmt: skip
@option("-Q", "--queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES", section=QUEUES,
        help="Queues to consume, separated by commas. Default: all of task_queues.")  # fmt: skip
@option("-X", "--exclude-queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES", section=QUEUES,
        help="Queues not to consume.")  # fmt: skip
@option("--purge", "--discard", is_flag=True, section=QUEUES,
        help="First delete, without asking, all messages that wait in these queues.")  # fmt: skip
@option("--time-limit", type=click.FloatRange(0, min_open=True), metavar="SECONDS", section=LIMITS,
        help="Kill the child of a task that takes longer.")  # fmt: skip
@option("--soft-time-limit", type=click.FloatRange(0, min_open=True), metavar="SECONDS", section=LIMITS,
        help="Raise SoftTimeLimitExceeded in a task that takes longer.")  # fmt: skip
@option("--max-tasks-per-child", type=click.IntRange(1), metavar="N", section=LIMITS,
        help="Replace a child after this many tasks.")  # fmt: skip
@option("--max-memory-per-child", type=click.IntRange(1), metavar="KIB", section=LIMITS,
        help="Replace a child that has grown larger than this, after its task.")  # fmt: skip
@option("-B", "--beat", is_flag=True, section=BEAT, help="Send periodic tasks too, in a thread of this worker.")
@option("-s", "--schedule-filename", "--schedule", metavar="PATH|URL", section=BEAT,
        help="Where the schedule is kept, as for `celeriac beat`.")  # fmt: skip
@option("--scheduler", metavar="CLASS", section=BEAT, help="Class of the scheduler. Default: beat_scheduler.")
@option("-E", "--task-events", "--events", is_flag=True, default=None, section=EVENTS,
        help="Send events about tasks, for monitors. Default: worker_send_task_events.")  # fmt: skip
@option("--heartbeat-interval", type=click.FloatRange(0, min_open=True), metavar="SECONDS", section=EVENTS,
        help="Time between two events that say the worker is there. Default: 10.")  # fmt: skip
@option("--without-heartbeat", is_flag=True, section=EVENTS, help="Send no such events.")
@option("--mingle/--without-mingle", default=None, section=EVENTS,
        help="Ask the other workers at the start what is revoked, as Celery's do. Default: worker_mingle, which is "
             "off.")  # fmt: skip
@option("--http", "http_address", metavar="HOST:PORT", section=PROBES,
        help="Answer /livez, /readyz and /metrics there. Default: worker_http_address.")  # fmt: skip
@daemon_options("worker")
@nothing_to_turn_off("--without-gossip", "gossip between workers")
@click.argument("settings", nargs=-1, metavar="[-- SETTING=VALUE]...")
@click.pass_context
def worker(ctx: click.Context, /, settings: tuple[str, ...], **given: Any) -> None:
    """Run tasks until stopped.

    What follows -- are settings: worker.prefetch_multiplier=10 broker.lease=(int)60.
    """
    state: State = ctx.obj
    app = state.app
    apply_settings(ctx, app, settings, "worker")
    set_log_format(app, given.pop("log_format"))
    node = given["hostname"] = host_format(default_nodename(given["hostname"]))
    daemon = Daemon("worker", node, app, given)
    if daemon.is_to_detach:
        ctx.exit(daemon.detach(ctx, state))
    _note_missing_app(state, given)
    _check_beat(ctx, app, given)
    options = _worker_options(state, app, given, daemon.logfile)
    service = Worker(app, options)
    status = daemon.run(state, service.start)
    if service.is_hung_up and not sys.stdout.isatty():
        daemon.restart(state)
    ctx.exit(status)


def _check_beat(ctx: click.Context, app: Celery, given: dict[str, Any]) -> None:
    """Options of the scheduler are of no use without it, and its class has to be there."""
    filename, scheduler = given["schedule_filename"], given["scheduler"]
    if given["beat"]:
        app.embedded_beat(filename, scheduler)
    elif filename is not None or scheduler is not None:
        raise click.UsageError("--schedule and --scheduler are about the scheduler of -B: give that too", ctx)


def _note_missing_app(state: State, given: dict[str, Any]) -> None:
    conf = state.app.conf
    if state.given_app is None and not (conf.imports or conf.include or given["include"]) and not state.quiet:
        state.error("Note: no application is named, so this worker knows only the built-in tasks: use -A.")


def _worker_options(state: State, app: Celery, given: dict[str, Any], logfile: str | None) -> WorkerOptions:
    """Options that are settings become settings; zeros mean the setting."""
    if (method := given.pop("pool_start_method")) is not None:
        app.conf.worker_pool_start_method = method
    if given.pop("disable_prefetch"):
        app.conf.worker_disable_prefetch = True
    own = WorkerOptions.__match_args__
    user = {str(param.name) for param in app.user_options.get("worker", ())}
    return WorkerOptions(
        **{name: value for name, value in given.items() if name in own and value not in (None, 0, [])},
        user={name: value for name, value in given.items() if name in user},
        logfile=logfile,
        quiet=state.quiet,
        no_color=state.no_color,
    )
