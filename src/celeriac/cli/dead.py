"""``celeriac dead``: messages that were set aside, read, put back and deleted."""

from __future__ import annotations

import fnmatch
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.admin import broker_session
from celeriac.cli.errors import EX_FAILURE
from celeriac.cli.options import Group, json_option, option, print_json
from celeriac.message import Destination, Publication
from celeriac.utils.dataclass import dataclass
from celeriac.utils.saferepr import saferepr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.app.base import Celery
    from celeriac.broker.base import BrokerSession
    from celeriac.cli.options import F
    from celeriac.cli.state import State
    from celeriac.message import DeadLetter

#: Dead letters that are looked through for those that were asked for.
_ALL = 1_000_000
#: Messages put back together.
_BATCH = 100
_SHOWN = 100


@dataclass
class Choice:
    """Which dead letters are meant.

    Attributes:
        ids: Ids of dead letters or of tasks; none is no condition.
        task: Pattern of the task's name.
        queue: Queue they came from.
        reason: Part of the reason.
        everything: All of them, when nothing else is said.
    """

    ids: Sequence[str] = ()
    task: str | None = None
    queue: str | None = None
    reason: str | None = None
    everything: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing is said."""
        return not (self.ids or self.task or self.queue or self.reason or self.everything)

    def includes(self, letter: DeadLetter) -> bool:
        """Whether a dead letter is one of them."""
        headers = letter.message.headers
        return (
            (not self.ids or letter.id in self.ids or headers.get("id") in self.ids)
            and (self.task is None or fnmatch.fnmatchcase(str(headers.get("task", "")), self.task))
            and self.queue in (None, letter.queue)
            and (self.reason is None or self.reason in letter.reason)
        )

    def of(self, session: BrokerSession) -> list[DeadLetter]:
        """The dead letters, newest first."""
        return [letter for letter in session.dead_letters(limit=_ALL) if self.includes(letter)]


def _filters(function: F) -> F:
    """Decorator: the options that choose."""
    options: tuple[Callable[[Any], Any], ...] = (
        option("--task", metavar="PATTERN", help="Only of tasks whose name matches, as in 'mail.*'."),
        option("--queue", metavar="NAME", help="Only those that came from this queue."),
        option("--reason", metavar="TEXT", help="Only those whose reason has this in it."),
    )
    for each in reversed(options):
        function = each(function)
    return function


@click.group("dead", cls=Group, invoke_without_command=True)
@click.pass_context
def dead(ctx: click.Context) -> None:
    """Look after messages that were set aside because they could not be run."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()


dead.examples = (
    ("celeriac -A proj dead list", "the newest, and why"),
    ("celeriac -A proj dead show ID", "all of one, its body included"),
    ("celeriac -A proj dead replay --task 'mail.*'", "put them back in their queues"),
    ("celeriac -A proj dead purge --all", "delete them for good"),
)


# --------------------------------------------------------------------------------------------------- looking


@dead.command("list", short_help="The newest, and why they were set aside.")
@_filters
@option("-n", "--limit", type=click.IntRange(1), default=_SHOWN, show_default=True, metavar="N",
        help="At most so many.")  # fmt: skip
@json_option("them")
@click.pass_obj
def list_dead(state: State, /, limit: int, as_json: bool, **filters: Any) -> None:
    """List messages that were set aside, the newest first."""
    with broker_session(state.app) as session:
        found = Choice(**filters).of(session)
    if as_json:
        print_json([_facts(letter) for letter in found[:limit]])
        return
    for letter in found[:limit]:
        headers = letter.message.headers
        state.echo(
            f"{letter.id}  {_time(letter)}  {letter.queue}  {headers.get('task', '?')}[{headers.get('id', '?')}]"
        )
        state.echo(f"    {letter.reason}")
    if len(found) > limit:
        state.error(f"{len(found) - limit} more; --limit shows them.")
    if not found:
        state.error("There are no such dead letters.")


@dead.command("show", short_help="All of one, its body included.")
@click.argument("dead_id", metavar="ID")
@json_option("it")
@click.pass_context
def show(ctx: click.Context, /, dead_id: str, as_json: bool) -> None:
    """Print all there is of a message, by its ID or its task's."""
    state: State = ctx.obj
    with broker_session(state.app) as session:
        found = Choice((dead_id,)).of(session)
    if not found:
        state.error(f"Error: there is no dead letter {dead_id!r}; `celeriac dead list` shows them")
        ctx.exit(EX_FAILURE)
    facts = {**_facts(found[0]), "headers": found[0].message.headers, "body": _body(found[0])}
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        state.echo(f"{name}: {value if isinstance(value, str) else saferepr(value, 10_000)}")


def _facts(letter: DeadLetter) -> dict[str, Any]:
    headers = letter.message.headers
    return {
        "id": letter.id,
        "task": headers.get("task"),
        "task_id": headers.get("id"),
        "queue": letter.queue,
        "reason": letter.reason,
        "dead_at": _time(letter),
        **letter.details,
        "content_type": letter.message.content_type,
    }


def _time(letter: DeadLetter) -> str:
    return datetime.fromtimestamp(letter.dead_at, UTC).isoformat(timespec="seconds")


def _body(letter: DeadLetter) -> str:
    """The body as text; bytes that are none are written as escapes."""
    return letter.message.body.decode(errors="backslashreplace")


# -------------------------------------------------------------------------------------------------- changing


@dead.command("replay", short_help="Put them back in their queues.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@option("--all", "everything", is_flag=True, help="All of them.")
@option("--to", metavar="QUEUE", help="Put them in this queue instead.")
@json_option("the ids")
@click.pass_context
def replay(ctx: click.Context, /, to: str | None, as_json: bool, **choice: Any) -> None:
    """Put messages back in the queues they came from, with a new count of deliveries.

    They are chosen by ID, of the dead letter or of its task, or by the options.
    """
    state: State = ctx.obj
    wanted = _checked(ctx, choice)
    with broker_session(state.app) as session:
        found = wanted.of(session)[::-1]
        whole = [letter for letter in found if not letter.details.get("malformed")]
        put_back(state.app, session, whole, queue=to)
    if as_json:
        print_json({"replayed": [letter.id for letter in whole], "left": len(found) - len(whole)})
        return
    for letter in whole:
        headers = letter.message.headers
        state.echo(f"{headers.get('task', '?')}[{headers.get('id', '?')}] -> {to or letter.queue}")
    state.echo(f"{len(whole)} put back.")
    if len(found) > len(whole):
        state.error(f"{len(found) - len(whole)} cannot be put back: nobody could read their envelopes.")


def put_back(app: Celery, session: BrokerSession, letters: Sequence[DeadLetter], *, queue: str | None = None) -> None:
    """Publish messages that were set aside, and then delete their dead letters.

    In this order, so that a crash in between leaves a message twice rather than not at all.

    Args:
        app: Knows the queues.
        session: Session with the broker that has them.
        letters: The dead letters.
        queue: Where they go; None is the queue that each came from.
    """
    for start in range(0, len(letters), _BATCH):
        batch = letters[start : start + _BATCH]
        session.publish_many([_publication(app, letter, queue or letter.queue) for letter in batch])
        session.remove_dead_letters([letter.id for letter in batch])


def _publication(app: Celery, letter: DeadLetter, name: str) -> Publication:
    queue = app.queues.get_or_create(name)
    return Publication(letter.message, Destination("", queue.name, queue), mandatory=True)


@dead.command("purge", short_help="Delete them for good.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filters
@option("--all", "everything", is_flag=True, help="All of them.")
@option("-f", "--force", is_flag=True, help="Do not ask.")
@json_option("how many")
@click.pass_context
def purge(ctx: click.Context, /, force: bool, as_json: bool, **choice: Any) -> None:
    """Delete messages that were set aside, for good."""
    state: State = ctx.obj
    wanted = _checked(ctx, choice)
    with broker_session(state.app) as session:
        found = wanted.of(session)
        if found and not force:
            click.confirm(f"Delete {len(found)} dead letters for good?", abort=True, err=True)
        number = session.remove_dead_letters([letter.id for letter in found])
    if as_json:
        print_json({"purged": number})
    else:
        state.echo(f"{number} deleted.")


def _checked(ctx: click.Context, choice: dict[str, Any]) -> Choice:
    wanted = Choice(**choice)
    if wanted.is_empty:
        raise click.UsageError("say which: ids, --task, --queue, --reason, or --all", ctx)
    return wanted
