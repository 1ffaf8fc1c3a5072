"""``celeriac schedule``: show the periodic tasks of an app, and edit them while beat runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from celeriac.beat.book import NoSuchEntry, ScheduleBook, definition_of
from celeriac.beat.persistent import store_of
from celeriac.beat.record import describe, moment
from celeriac.cli.errors import Unreachable
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import ISO8601, JSON_ARRAY, JSON_OBJECT, Group, json_option, option, print_json
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.schedules import ParseException, clocked, crontab, schedule, solar
from celeriac.utils.time import get_timezone, make_aware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime, tzinfo

    from celeriac.beat.book import Line
    from celeriac.cli.options import F
    from celeriac.cli.state import State

WHAT, WHEN = "What", "When (one of these)"


@click.group("schedule", cls=Group, invoke_without_command=True)
@option("-s", "--schedule", "store", metavar="PATH|URL",
        help="Where beat keeps the schedule, as in `celeriac beat -s`.")  # fmt: skip
@click.pass_context
def schedule_(ctx: click.Context, store: str | None) -> None:
    """Show and edit periodic tasks.

    An edit takes effect within five seconds, and never makes an entry run by itself. What is edited of an entry of
    beat_schedule wins over what is written there, until it is reset.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()
    ctx.meta["store"] = store


schedule_.examples = (
    ("celeriac -A proj schedule list", "all entries, and when each runs next"),
    ("celeriac -A proj schedule show backup --count 10 --timezone Asia/Tokyo", "the next ten runs"),
    ("celeriac -A proj schedule add nightly proj.backup --crontab '0 4 * * *'", "add an entry"),
    ("celeriac -A proj schedule pause nightly", "stop it for a while"),
)


@contextmanager
def _book(state: State) -> Iterator[ScheduleBook]:
    """The schedule of the app.

    Raises:
        Unreachable: Its store cannot be used.
    """
    app = state.app
    app.finalize()
    import_tasks(app)
    store = store_of(app, click.get_current_context().meta.get("store"))
    try:
        yield ScheduleBook(app, store)
    except NoSuchEntry as exc:
        raise click.ClickException(str(exc)) from exc
    except OperationalError as exc:
        raise Unreachable("schedule store", store.url, exc) from exc
    finally:
        store.close()


def _zone(state: State, name: str | None) -> tzinfo:
    return state.app.timezone if name is None else get_timezone(name)


def _local(found: datetime | None, zone: tzinfo) -> str:
    return "never" if found is None else found.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _as_dict(line: Line, zone: tzinfo, count: int) -> dict[str, Any]:
    entry, record = line.entry, line.record
    last = None if record is None or record.last_run_at is None else moment(record.last_run_at)
    return {
        "name": line.name,
        "task": entry.task,
        "schedule": ((record and record.definition) or line.override).get("schedule") or describe(entry.schedule),
        "args": list(entry.args or ()),
        "kwargs": dict(entry.kwargs),
        "options": dict(entry.options),
        "misfire": entry.misfire,
        "enabled": line.is_enabled,
        "source": "added" if line.is_added else "beat_schedule",
        "edited": sorted(line.override),
        "runs": 0 if record is None else record.count,
        "last_run_at": last and last.astimezone(zone).isoformat(),
        "next_runs": [run.astimezone(zone).isoformat() for run in line.next_runs(count)] if line.is_enabled else [],
    }


_timezone_option = option("--timezone", metavar="ZONE", help="Show times in this zone. Default: that of the app.")


@schedule_.command("list", short_help="All entries, and when each runs next.")
@_timezone_option
@json_option("the entries")
@click.pass_obj
def list_(state: State, /, timezone: str | None, as_json: bool) -> None:
    """List all entries, and the beat that leads."""
    zone = _zone(state, timezone)
    with _book(state) as book:
        lines = book.lines()
        leader = book.leader()
    if as_json:
        print_json({"leader": leader, "entries": [_as_dict(line, zone, 1) for line in lines.values()]})
        return
    for line in lines.values():
        runs = line.next_runs(1)
        following = _local(runs[0] if runs else None, zone) if line.is_enabled else "paused"
        edited = f"  edited: {', '.join(sorted(line.override))}" if line.override else ""
        state.echo(f"{line.name}\n    {line.entry.task}  {line.entry.schedule!r}  next: {following}{edited}")
    if not lines:
        state.error("The schedule is empty: set beat_schedule, or use `celeriac schedule add`.")
    state.echo(f"Leader: {leader or 'none, no beat runs'}")


@schedule_.command("show", short_help="One entry and its next runs.")
@click.argument("name")
@option("--count", type=click.IntRange(0, 1000), default=5, show_default=True, metavar="N", help="Runs to show.")
@_timezone_option
@json_option("the entry")
@click.pass_obj
def show(state: State, /, name: str, count: int, timezone: str | None, as_json: bool) -> None:
    """Show the entry NAME and when it runs next."""
    zone = _zone(state, timezone)
    with _book(state) as book:
        line = book.line(name)
    found = _as_dict(line, zone, count)
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        if key != "next_runs":
            state.echo(f"{key:<12} {value if key != 'schedule' else repr(line.entry.schedule)}")
    for run in line.next_runs(count) if line.is_enabled else ():
        state.echo(f"{'next run':<12} {_local(run, zone)}")


# ---------------------------------------------------------------------------------------------------- add and edit


def _definition_options(function: F) -> F:
    options = (
        option("--every", type=click.FloatRange(0, min_open=True), metavar="SECONDS", section=WHEN,
               help="Every so many seconds."),
        option("--crontab", metavar="'M H DOM MON DOW'", section=WHEN, help="At these minutes, as in cron."),
        option("--at", type=ISO8601, metavar="TIME", section=WHEN, help="Once, at an ISO 8601 time."),
        option("--solar", nargs=3, metavar="EVENT LAT LON", section=WHEN, help="When the sun is there."),
        option("--timezone", metavar="ZONE", section=WHEN, help="Zone of --crontab and --at. Default: the app's."),
        option("-a", "--args", type=JSON_ARRAY, metavar="JSON", section=WHAT, help="Positional arguments."),
        option("-k", "--kwargs", type=JSON_OBJECT, metavar="JSON", section=WHAT, help="Keyword arguments."),
        option("-o", "--options", type=JSON_OBJECT, metavar="JSON", section=WHAT,
               help="""Options of the call, such as '{"queue": "slow", "expires": 60}'."""),
        option("--misfire", metavar="POLICY", section=WHAT,
               help="Runs missed while no beat ran: run_once (the default), skip, or run_all:N."),
    )  # fmt: skip
    for each in reversed(options):
        function = each(function)
    return function


def _schedule_of(state: State, given: dict[str, Any]) -> Any:
    """The schedule that options describe; None when there is none of them."""
    made: dict[str, Callable[[Any], Any]] = {
        "every": lambda value: schedule(value, app=state.app),
        "crontab": crontab.from_string,
        "at": lambda value: clocked(make_aware(value, _zone(state, given["timezone"]))),
        "solar": lambda value: solar(value[0], float(value[1]), float(value[2])),
    }
    chosen = [name for name in made if given[name] is not None]
    if len(chosen) > 1:
        raise click.UsageError(f"--{' and --'.join(chosen)} both say when it runs: give one of them")
    if not chosen:
        return None
    try:
        return made[chosen[0]](given[chosen[0]])
    except (ValueError, TypeError, ParseException, ImproperlyConfigured) as exc:
        raise click.UsageError(f"--{chosen[0]}: {exc}") from exc


def _definition(state: State, task: str, given: dict[str, Any]) -> dict[str, Any]:
    value = _schedule_of(state, given)
    if value is None:
        raise click.UsageError("give one of --every, --crontab, --at and --solar")
    fields = {name: given[name] for name in ("args", "kwargs", "options", "misfire")}
    return definition_of(task, value, given["timezone"], **fields)


@schedule_.command("add", short_help="Add an entry.")
@click.argument("name")
@click.argument("task")
@_definition_options
@json_option("the entry")
@click.pass_obj
def add(state: State, /, name: str, task: str, as_json: bool, **given: Any) -> None:
    """Add the entry NAME, which calls TASK."""
    definition = _definition(state, task, given)
    with _book(state) as book:
        book.add(name, definition)
        line = book.line(name)
    _say_next(state, line, "added", as_json=as_json)


@schedule_.command("edit", short_help="Change an entry.")
@click.argument("name")
@option("--task", metavar="TASK", section=WHAT, help="Call another task.")
@_definition_options
@json_option("the entry")
@click.pass_obj
def edit(state: State, /, name: str, task: str | None, as_json: bool, **given: Any) -> None:
    """Change the entry NAME; what is not given stays as it is.

    What is changed of an entry of beat_schedule is kept in the store, and wins until `celeriac schedule reset`.
    """
    changes = {key: given[key] for key in ("args", "kwargs", "options", "misfire") if given[key] is not None}
    if task is not None:
        changes["task"] = task
    value = _schedule_of(state, given)
    if value is not None:
        changes["schedule"] = describe(value, given["timezone"])
    elif given["timezone"] is not None:
        raise click.UsageError("--timezone belongs to --crontab or --at: give that too")
    if not changes:
        raise click.UsageError("nothing is to be changed")
    with _book(state) as book:
        book.edit(name, changes)
        line = book.line(name)
    _say_next(state, line, "changed", as_json=as_json)


@schedule_.command("reset", short_help="Undo the edits of an entry of beat_schedule.")
@click.argument("name")
@json_option("the entry")
@click.pass_obj
def reset(state: State, /, name: str, as_json: bool) -> None:
    """Return the entry NAME to what beat_schedule says."""
    with _book(state) as book:
        book.reset(name)
        line = book.line(name)
    _say_next(state, line, "as beat_schedule defines it", as_json=as_json)


def _say_next(state: State, line: Line, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_dict(line, state.app.timezone, 1))
        return
    runs = line.next_runs(1)
    state.echo(f"{line.name} is {what}; next run: {_local(runs[0] if runs else None, state.app.timezone)}")


# ------------------------------------------------------------------------------------------------- one word each


def _simple(name: str, help_text: str, done: str) -> None:
    """A command that takes the name of an entry."""

    @schedule_.command(name, help=help_text, short_help=help_text.partition(",")[0].rstrip(".") + ".")
    @click.argument("name", metavar="NAME")
    @click.pass_obj
    def run(state: State, /, name: str, _method: str = name) -> None:
        with _book(state) as book:
            getattr(book, _method)(name)
        state.echo(f"{name} {done}")


_simple("pause", "Stop the entry NAME, until it is resumed.", "is paused.")
_simple("resume", "Go on with the entry NAME, without what it missed.", "is resumed.")
_simple("run", "Run the entry NAME now, once more.", "will be sent within seconds, if a beat runs.")
_simple("remove", "Remove the entry NAME, which was added here.", "is removed.")
