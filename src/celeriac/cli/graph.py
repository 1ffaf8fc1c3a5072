"""``celeriac graph``: the steps of a worker, and the workers of a cluster, as graphs for Graphviz."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from celeriac.cli.errors import EX_UNAVAILABLE
from celeriac.cli.options import Group, command, option
from celeriac.utils.dataclass import dataclass
from celeriac.utils.graph import DependencyGraph, DOTFormatter
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.app.base import Celery
    from celeriac.cli.state import State

_FIELDS: Final = ("nodes", "threads", "backend", "broker", "wmax", "tmax")
_FLAGS: Final = ("generic", "enumerate")
_LEGEND: Final = "nodes:a,b threads:2,3 broker:URL backend:URL wmax:N tmax:N generic enumerate"


@click.group("graph", cls=Group)
def graph() -> None:
    """Print graphs in the language of Graphviz: celeriac -A proj graph bootsteps | dot -Tsvg."""


# ------------------------------------------------------------------------------------------------ bootsteps


@command("bootsteps", examples=(("celeriac -A proj graph bootsteps worker", "the steps of the worker alone"),))
@click.argument("blueprints", nargs=-1, metavar="[worker] [consumer]", type=click.Choice(["worker", "consumer"]))
@click.pass_context
def bootsteps(ctx: click.Context, /, blueprints: tuple[str, ...]) -> None:
    """Print which step of a worker, and of its consumer, requires which."""
    # Other commands need none of it.
    from celeriac.worker.bootsteps import ConsumerBlueprint, WorkerBlueprint

    state: State = ctx.obj
    classes = {"worker": WorkerBlueprint, "consumer": ConsumerBlueprint}
    drawn = DependencyGraph(formatter=DOTFormatter("bootsteps"))
    for name in blueprints or classes:
        blueprint = classes[name](state.app.steps[name])
        for cls in blueprint.claim():
            drawn.update([(_short(cls), [_short(required) for required in blueprint.graph[cls]])])
    drawn.to_dot(sys.stdout)


def _short(cls: Any) -> str:
    return str(cls.label or cls.__name__)


# -------------------------------------------------------------------------------------------------- workers


@dataclass
class Cluster:
    """What is drawn.

    Attributes:
        nodes: Names of workers, and how many tasks each runs at once.
        broker: URL of the broker.
        backend: URL of the result store.
        most_workers: Workers to draw; None is all of them.
        most_threads: Tasks at once to draw for each; None is all of them.
        generic: Workers have no names.
        numbered: They have numbers.
    """

    nodes: list[tuple[str, int]]
    broker: str
    backend: str
    most_workers: int | None = None
    most_threads: int | None = None
    generic: bool = False
    numbered: bool = False

    def graph(self) -> DependencyGraph:
        """Workers depend on their broker and store, and what runs in them on them."""
        drawn = DependencyGraph(formatter=DOTFormatter("workers"))
        shown = self.nodes[: self.most_workers]
        for number, (name, threads) in enumerate(shown, 1):
            self._draw_worker(drawn, self._title(number, name), threads)
        if left := len(self.nodes) - len(shown):
            drawn.update([(f"({left} more workers)", [self.broker, self.backend])])
        return drawn

    def _title(self, number: int, name: str) -> str:
        if self.generic:
            return f"Worker {number}"
        return f"{number}. {name}" if self.numbered else name

    def _draw_worker(self, drawn: DependencyGraph, title: str, threads: int) -> None:
        drawn.update([(title, [self.broker, self.backend])])
        shown = threads if self.most_threads is None else min(threads, self.most_threads)
        drawn.update((f"{title}: task {each}", [title]) for each in range(1, shown + 1))
        if left := threads - shown:
            drawn.update([(f"{title}: {left} more tasks", [title])])


@command(
    "workers",
    examples=(
        ("celeriac -A proj graph workers", "the workers that answer"),
        ("celeriac graph workers nodes:a,b threads:4,2 tmax:2", "a cluster that need not be there"),
    ),
    epilog=f"ARGS: {_LEGEND}",
)
@option("-t", "--timeout", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, metavar="SECONDS",
        help="Time for the workers to answer.")  # fmt: skip
@click.argument("words", nargs=-1, metavar="[ARGS]...")
@click.pass_context
def workers(ctx: click.Context, /, words: tuple[str, ...], timeout: float) -> None:
    """Print workers with what they connect to and how many tasks they run at once."""
    state: State = ctx.obj
    given = _parse(ctx, words)
    nodes = _given_nodes(ctx, given) if "nodes" in given else _living_nodes(state.app, timeout)
    if not nodes:
        click.echo("Error: No nodes replied within time constraint", err=True)
        ctx.exit(EX_UNAVAILABLE)
    cluster = Cluster(
        nodes,
        redact(given["broker"]) if "broker" in given else state.app.broker_for_read.url,
        redact(given["backend"]) if "backend" in given else state.app.backend.url,
        _number(ctx, given, "wmax"),
        _number(ctx, given, "tmax"),
        "generic" in given,
        "enumerate" in given,
    )
    cluster.graph().to_dot(sys.stdout)


def _parse(ctx: click.Context, words: Iterable[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, colon, value = word.partition(":")
        if not ((colon and name in _FIELDS) or (not colon and name in _FLAGS)):
            raise click.UsageError(f"{word!r} is no argument of graph workers; there are {_LEGEND}", ctx)
        found[name] = value
    return found


def _number(ctx: click.Context, given: dict[str, str], name: str) -> int | None:
    if name not in given:
        return None
    if not given[name].isdecimal():
        raise click.UsageError(f"{name}:{given[name]} is no number", ctx)
    return int(given[name])


def _given_nodes(ctx: click.Context, given: dict[str, str]) -> list[tuple[str, int]]:
    names = [name for name in given["nodes"].split(",") if name]
    threads: Sequence[str] = given.get("threads", "").split(",") if given.get("threads") else []
    if not all(each.isdecimal() for each in threads) or len(threads) > len(names):
        raise click.UsageError(f"threads:{given['threads']} are not numbers, at most one for each of nodes", ctx)
    counts = [*map(int, threads), *[0] * (len(names) - len(threads))]
    return list(zip(names, counts, strict=True))


def _living_nodes(app: Celery, timeout: float) -> list[tuple[str, int]]:
    replies = app.control.inspect(timeout=timeout).stats() or {}
    return [(name, int(stats["pool"]["max-concurrency"])) for name, stats in sorted(replies.items())]


graph.add_command(bootsteps)
graph.add_command(workers)
