"""Commands around tasks and queues: ``call``, ``result``, ``purge``, ``release``, ``list`` and ``report``."""

from __future__ import annotations

import json
from contextlib import closing, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import click

from celeriac import states
from celeriac.app.builtins import BUILT_IN
from celeriac.app.report import facts, render
from celeriac.broker.base import DelayReleasing
from celeriac.cli.errors import EX_FAILURE, Unreachable
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import (
    COMMA_SEPARATED_LIST,
    ISO8601,
    ISO8601_OR_FLOAT,
    JSON_ARRAY,
    JSON_OBJECT,
    Group,
    command,
    json_option,
    option,
    print_json,
)
from celeriac.exceptions import OperationalError, TimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from celeriac.app.base import Celery
    from celeriac.broker.base import BrokerSession
    from celeriac.broker.topology import Queue
    from celeriac.cli.state import State
    from celeriac.result import AsyncResult

WHEN, WHERE = "When", "Where"


@contextmanager
def broker_session(app: Celery) -> Iterator[BrokerSession]:
    """A session with the broker that workers fetch from.

    Raises:
        Unreachable: There is none to be had.
    """
    broker = app.broker_for_read
    try:
        with closing(broker.connect()) as session:
            yield session
    except OperationalError as exc:
        raise Unreachable("message broker", broker.url, exc) from exc


# ---------------------------------------------------------------------------------------------------- tasks


@command(
    "call",
    examples=(
        ("celeriac -A proj call proj.tasks.add -a '[2, 3]'", "call add(2, 3)"),
        ("""celeriac -A proj call mail -k '{"to": "you"}'""", "with keyword arguments"),
        ("celeriac -A proj call report --countdown 60", "in a minute"),
    ),
    epilog="Prints the id of the task, which is what `celeriac result` takes. The task need not be known here.",
)
@click.argument("name")
@option("-a", "--args", type=JSON_ARRAY, metavar="JSON", help="Positional arguments, as a JSON array.")
@option("-k", "--kwargs", type=JSON_OBJECT, metavar="JSON", help="Keyword arguments, as a JSON object.")
@option("--countdown", type=float, metavar="SECONDS", section=WHEN, help="Run it after so many seconds.")
@option("--eta", type=ISO8601, metavar="TIME", section=WHEN, help="Run it at an ISO 8601 time.")
@option("--expires", type=ISO8601_OR_FLOAT, metavar="TIME|SECONDS", section=WHEN,
        help="Do not run it after this time, or so many seconds from now.")  # fmt: skip
@option("--queue", metavar="NAME", section=WHERE, help="Queue to send it to.")
@option("--exchange", metavar="NAME", section=WHERE, help="Exchange to send it to.")
@option("--routing-key", metavar="KEY", section=WHERE, help="Routing key to send it with.")
@option("--serializer", metavar="NAME", help="Serializer of the arguments. Default: task_serializer.")
@json_option("the id and the name")
@click.pass_obj
def call(
    state: State, /, name: str, as_json: bool, eta: datetime | None, countdown: float | None, **given: Any
) -> None:
    """Call a task by NAME and print its id."""
    if eta is not None and countdown is not None:
        raise click.UsageError("--eta and --countdown both say when to run the task: give one of them")
    app = state.app
    options = {key: value for key, value in given.items() if value is not None}
    try:
        sent = app.send_task(name, options.pop("args", ()), options.pop("kwargs", {}), countdown, eta, **options)
    except OperationalError as exc:
        raise Unreachable("message broker", app.broker.url, exc) from exc
    if as_json:
        print_json({"task_id": sent.id, "task": name})
    else:
        state.echo(sent.id)


@command(
    "result",
    examples=(
        ("celeriac -A proj result ID", "wait, then print what the task returned"),
        ("celeriac -A proj result ID --timeout 10 --json", "for scripts"),
        ("celeriac -A proj result ID --traceback", "why it failed"),
    ),
    epilog="Exit codes: 0 the task succeeded, 1 it failed or is not ready in time, 69 the result backend cannot be "
    "reached. An id that nobody knows cannot be told from a task that has not run yet: use --timeout.",
)
@click.argument("task_id", metavar="ID")
@option("-t", "--task", metavar="NAME", help="Look in the result backend of this task, if it has its own.")
@option("--traceback", is_flag=True, help="Print the traceback of the failure instead of the result.")
@option("--timeout", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer. Default: wait for ever.")
@json_option("state, result and traceback")
@click.pass_context
def result(
    ctx: click.Context, /, task_id: str, task: str | None, traceback: bool, timeout: float | None, as_json: bool
) -> None:
    """Wait for the task ID to end and print what it returned."""
    state: State = ctx.obj
    found = _result_of(ctx, state.app, task, task_id)
    backend = found.backend
    if not backend.capabilities.enabled:
        raise click.ClickException("No result backend is configured: set result_backend, or use --result-backend URL")
    try:
        found.get(timeout=timeout, propagate=False)
    except TimeoutError:
        _say_not_ready(state, found, timeout, as_json)
        ctx.exit(EX_FAILURE)
    except OperationalError as exc:
        raise Unreachable("result backend", backend.url, exc) from exc
    if as_json:
        print_json(_as_dict(found))
    elif traceback:
        state.echo(found.traceback or "")
    elif found.successful():
        state.echo(found.result)
    else:
        state.error(f"Error: task {task_id} ended as {found.state}: {found.result!r}")
    if not found.successful() and not (traceback and not as_json):
        ctx.exit(EX_FAILURE)


def _result_of(ctx: click.Context, app: Celery, task: str | None, task_id: str) -> AsyncResult[Any]:
    if task is None:
        return app.AsyncResult(task_id)
    import_tasks(app)
    if task not in app.tasks:
        hint = "`celeriac list tasks` shows them"
        raise click.BadParameter(f"the app has no task {task!r}; {hint}", ctx, param_hint="-t")
    found: AsyncResult[Any] = app.tasks[task].AsyncResult(task_id)
    return found


def _say_not_ready(state: State, found: AsyncResult[Any], timeout: float | None, as_json: bool) -> None:
    if as_json:
        print_json({"task_id": found.id, "status": found.state, "ready": False})
    else:
        unit = "second" if timeout == 1 else "seconds"
        state.error(f"Error: task {found.id} is not ready after {timeout:g} {unit}; its state is {found.state}")


def _as_dict(found: AsyncResult[Any]) -> dict[str, Any]:
    value = found.result
    failure = found.state in states.EXCEPTION_STATES
    return {
        "task_id": found.id,
        "status": found.state,
        "ready": True,
        "result": {"type": type(value).__name__, "message": str(value)} if failure else value,
        "traceback": found.traceback,
        "date_done": found.date_done and found.date_done.isoformat(),
    }


# --------------------------------------------------------------------------------------------------- queues


@command(
    "purge",
    examples=(
        ("celeriac -A proj purge", "ask, then empty all queues of the app"),
        ("celeriac -A proj purge -f -Q images,mail", "empty two queues without asking"),
    ),
    epilog="There is no way back. Messages that a worker has claimed already are not deleted.",
)
@option("-f", "--force", is_flag=True, help="Do not ask.")
@option("-Q", "--queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES", help="Only these queues.")
@option("-X", "--exclude-queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES", help="All but these queues.")
@json_option("the number of messages by queue")
@click.pass_obj
def purge(
    state: State, /, force: bool, queues: list[str] | None, exclude_queues: list[str] | None, as_json: bool
) -> None:
    """Delete the messages that wait in queues, delayed ones included."""
    names = sorted(set(queues or state.app.queues.consume_from) - set(exclude_queues or ()))
    if not names:
        raise click.UsageError("there is no queue to purge: -X excludes every queue")
    if not force:
        state.error(f"WARNING: this deletes all messages that wait in: {', '.join(names)}")
        click.confirm("Are you sure?", abort=True, err=True)
    with broker_session(state.app) as session:
        counts = {name: session.purge(name) for name in names}
    total = sum(counts.values())
    if as_json:
        print_json({"queues": counts, "total": total})
    elif total:
        state.echo(f"Purged {_count(total, 'message')} from {_count(len(names), 'known task queue')}.")
    else:
        state.echo(f"No messages purged from {_count(len(names), 'queue')}.")


@command(
    "release",
    examples=(
        ("celeriac -A proj release", "before Celery's workers take over on Redis"),
        ("celeriac -A proj release -Q images,mail --json", "two queues, for scripts"),
    ),
    epilog="For going back to Celery: on Redis, only Celeriac's workers bring delayed messages back. Stop them first: "
    "they would delay the messages again. Other brokers need nothing of the kind.",
)
@option("-Q", "--queues", type=COMMA_SEPARATED_LIST, metavar="QUEUES", help="Only these queues. Default: all.")
@json_option("the number of messages by queue")
@click.pass_obj
def release(state: State, /, queues: list[str] | None, as_json: bool) -> None:
    """Move delayed messages to their queues, where Celery's workers hold them until they are due."""
    with broker_session(state.app) as session:
        counts = session.release_delayed(queues) if isinstance(session, DelayReleasing) else None
    total = sum((counts or {}).values())
    if as_json:
        print_json({"queues": counts or {}, "total": total})
    elif counts is None:
        state.echo(f"Nothing to release: {state.app.broker_for_read.url} needs no worker to bring messages back.")
    else:
        state.echo(f"Released {_count(total, 'delayed message')} to {_count(len(counts), 'queue')}.")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@click.group("list", cls=Group, invoke_without_command=True)
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List tasks, queues or bindings of the app."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()


list_.examples = (
    ("celeriac -A proj list tasks", "what can be called"),
    ("celeriac -A proj list queues --json", "how much waits, for scripts"),
)


@list_.command("tasks", short_help="Tasks the app knows.")
@option("--all", "everything", is_flag=True, help="The built-in tasks too.")
@json_option("the names")
@click.pass_obj
def list_tasks(state: State, /, everything: bool, as_json: bool) -> None:
    """List the tasks that a worker of this app would know."""
    app = state.app
    import_tasks(app)
    names = sorted(name for name in app.tasks if everything or not name.startswith(BUILT_IN))
    if as_json:
        print_json(names)
        return
    for name in names:
        state.echo(name)
    if not names:
        state.error("The app has no tasks: name it with -A, and its modules in 'include'.")


@list_.command("queues", short_help="Queues, and how many messages wait.")
@json_option("the queues")
@click.pass_obj
def list_queues(state: State, /, as_json: bool) -> None:
    """List the queues of the app, and how many messages wait in each.

    Delayed messages, and those that a worker has claimed, are not counted.
    """
    queues = _queues(state.app)
    with broker_session(state.app) as session:
        depths = session.depths([queue.name for queue in queues])
    if as_json:
        print_json([{"name": queue.name, "messages": depths.get(queue.name, 0)} for queue in queues])
    else:
        _print_table(state, ("Queue", "Messages"), [(queue.name, depths.get(queue.name, 0)) for queue in queues])


@list_.command("bindings", short_help="Which exchange sends what to which queue.")
@json_option("the bindings")
@click.pass_obj
def list_bindings(state: State, /, as_json: bool) -> None:
    """Declare the queues of the app, and list how they are bound."""
    queues = _queues(state.app)
    with broker_session(state.app) as session:
        session.declare(queues)
    rows = [(queue.name, bound.exchange.name, bound.routing_key) for queue in queues for bound in queue.all_bindings]
    if as_json:
        print_json([dict(zip(("queue", "exchange", "routing_key"), row, strict=True)) for row in rows])
    else:
        _print_table(state, ("Queue", "Exchange", "Routing Key"), rows)


def _queues(app: Celery) -> list[Queue]:
    return [app.queues[name] for name in sorted(app.queues)]


def _print_table(state: State, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns of 28 characters, as scripts that cut by column expect, wider where a name is longer."""
    texts = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(28, *(len(row[column]) + 1 for row in texts)) for column in range(len(headings))]
    for row in texts:
        state.echo("".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


# -------------------------------------------------------------------------------------------------- report


#: Distributions whose version may explain an error.
_PACKAGES = ("click", "hiredis", "psycopg", "pymysql", "sqlalchemy", "pyyaml", "msgpack", "zstandard", "brotli")


def _packages() -> dict[str, str]:
    """Versions of what is installed; a distribution is there or it is not."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@command("report", epilog="Passwords and keys are masked, but read it before you publish it.")
@json_option("the report")
@click.pass_obj
def report(state: State, /, as_json: bool) -> None:
    """Print versions, platform, URLs and changed settings, for a bug report."""
    found = {**facts(state.app), "packages": _packages()}
    if as_json:
        print_json(json.loads(json.dumps(found, default=repr)))
    else:
        state.echo(render(found))
