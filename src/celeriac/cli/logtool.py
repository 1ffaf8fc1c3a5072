"""``celeriac logtool``: what the log of a worker says, in numbers or in part."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

import click

from celeriac.cli.options import Group, json_option, print_json
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

    from celeriac.cli.state import State

#: A line that a logger wrote; a traceback, or what a task printed, looks otherwise.
_LOGGED: Final = re.compile(r"^\[\d{4}-\d\d-\d\d[^\]]*\]")
_TASK: Final = re.compile(r"Task (?P<name>[^\s\[\]]+)\[(?P<id>[^\]]+)\] (?P<what>\w+)(?P<later>: due later)?")
#: Words after which a task does not run on.
_ENDED: Final = frozenset({"succeeded", "raised", "ignored", "reject", "revoked"})
_WORDS: Final = ("succeeded", "raised", "retry", "ignored", "reject")


@dataclass
class Log:
    """What the lines of a log say.

    Attributes:
        counts: Number of lines of tasks, by the word after the task's id.
        received: Number of tasks received, by name.
        names: Names of tasks, by id.
        begun: Ids that were received and have not ended, in order.
        errors: Lines about tasks that failed.
        traces: Lines that no logger wrote.
        others: Lines that are not about tasks.
    """

    counts: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    begun: dict[str, None] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def read(self, lines: Iterable[str]) -> None:
        """Take lines in."""
        for line in lines:
            text = line.rstrip("\n")
            if not _LOGGED.match(text):
                self.traces.append(text)
            elif (found := _TASK.search(text)) is None:
                self.others.append(text)
            elif not found["later"]:
                # Given back to the broker; it is received again when it is due.
                self._task(text, found["name"], found["id"], found["what"])

    def _task(self, line: str, name: str, task_id: str, what: str) -> None:
        self.counts[what] += 1
        self.names[task_id] = name
        if what == "received":
            self.received[name] += 1
            self.begun[task_id] = None
        elif what in _ENDED:
            self.begun.pop(task_id, None)
        if what == "raised":
            self.errors.append(line)


def _read(files: tuple[TextIO, ...]) -> Log:
    log = Log()
    for file in files:
        log.read(file)
    return log


@click.group("logtool", cls=Group, invoke_without_command=True)
@click.pass_context
def logtool(ctx: click.Context) -> None:
    """Tell what the logs of workers say, logged at INFO in the usual format."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()


logtool.examples = (
    ("celeriac logtool stats worker.log", "how many tasks of which name, and how they ended"),
    ("celeriac logtool incomplete *.log", "tasks that were received and have not ended"),
)


def _files(function: Callable[..., None]) -> Callable[..., None]:
    return click.argument("files", nargs=-1, required=True, type=click.File("r"), metavar="FILE...")(function)


@logtool.command("stats", short_help="How many tasks, and how they ended.")
@_files
@json_option("the numbers")
@click.pass_obj
def stats(state: State, /, files: tuple[TextIO, ...], as_json: bool) -> None:
    """Count the tasks, by name and by how they ended."""
    log = _read(files)
    numbers = {
        "tasks": {
            "total": log.counts["received"],
            "completed": log.counts["received"] - len(log.begun),
            "errors": log.counts["raised"],
            **{word: log.counts[word] for word in _WORDS},
        },
        "types": dict(sorted(log.received.items())),
    }
    if as_json:
        print_json(numbers)
        return
    for title, rows in (("Totals", numbers["tasks"]), ("By name", numbers["types"])):
        state.echo(f"{title}:")
        for name, number in rows.items():
            state.echo(f"  {name:<40} {number:>8}")


@logtool.command("traces", short_help="Lines that no logger wrote, such as tracebacks.")
@_files
@click.pass_obj
def traces(state: State, /, files: tuple[TextIO, ...]) -> None:
    """Print the lines that no logger wrote: tracebacks, and what tasks printed."""
    _print(state, _read(files).traces)


@logtool.command("errors", short_help="Lines about tasks that failed.")
@_files
@click.pass_obj
def errors(state: State, /, files: tuple[TextIO, ...]) -> None:
    """Print the lines about tasks that failed."""
    _print(state, _read(files).errors)


@logtool.command("incomplete", short_help="Tasks that were received and have not ended.")
@_files
@json_option("the ids and names")
@click.pass_obj
def incomplete(state: State, /, files: tuple[TextIO, ...], as_json: bool) -> None:
    """Print the tasks that were received and have not ended."""
    log = _read(files)
    if as_json:
        print_json([{"id": task_id, "name": log.names[task_id]} for task_id in log.begun])
    else:
        _print(state, (f"Did not complete: {task_id} {log.names[task_id]}" for task_id in log.begun))


@logtool.command("debug", short_help="Lines that are not about tasks.")
@_files
@click.pass_obj
def debug(state: State, /, files: tuple[TextIO, ...]) -> None:
    """Print the lines that are not about tasks."""
    _print(state, _read(files).others)


def _print(state: State, lines: Iterable[str]) -> None:
    for line in lines:
        state.echo(line)
