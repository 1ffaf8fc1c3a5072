"""``celeriac multi``: start, stop and restart several workers of one host, each a process in the background."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from celeriac._version import __version__
from celeriac.cli.errors import EX_FAILURE, EX_OK, EX_USAGE
from celeriac.cli.nodes import Node, UnknownNode, make_nodes, parse
from celeriac.cli.options import command
from celeriac.utils.dataclass import dataclass
from celeriac.utils.process import is_running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.cli.state import State

#: Seconds between two looks at the processes that are to end.
_POLL = 0.2


@dataclass
class Screen:
    """Where progress is printed.

    Attributes:
        state: The invocation.
        quiet: Only errors.
        verbose: Commands too.
    """

    state: State
    quiet: bool = False
    verbose: bool = False

    def note(self, text: str, *, newline: bool = True) -> None:
        """Progress."""
        if not self.quiet:
            self.state.echo(text, nl=newline)

    def detail(self, text: str) -> None:
        """What `verbose` shows."""
        if self.verbose:
            self.state.echo(text)

    def mark(self, *, good: bool) -> str:
        """``OK`` or ``FAILED``."""
        return click.style("OK", fg="green", bold=True) if good else click.style("FAILED", fg="red", bold=True)


class Call(NamedTuple):
    """What a verb works on.

    Attributes:
        nodes: The nodes.
        screen: Where progress is printed.
        signal: What ends a node.
    """

    nodes: list[Node]
    screen: Screen
    signal: signal.Signals


# ---------------------------------------------------------------------------------------------------- verbs


def start(call: Call) -> int:
    """Start the nodes."""
    call.screen.note("> Starting nodes...")
    return _start_all(call)


def _start_all(call: Call) -> int:
    failed = [node for node in call.nodes if not _start(node, call.screen)]
    return EX_FAILURE if failed else EX_OK


def _start(node: Node, screen: Screen) -> bool:
    screen.note(f"\t> {node.name}: ", newline=False)
    arguments = node.arguments
    try:
        node.make_directories()
        done = subprocess.run(arguments, capture_output=True, text=True)  # noqa: S603 - what the user asked for
        code, output = done.returncode, done.stdout + done.stderr
    except OSError as exc:
        code, output = EX_FAILURE, f"{exc.strerror}: {exc.filename}; --pidfile and --logfile say where files go\n"
    screen.note(screen.mark(good=code == 0))
    screen.detail(f"\t  {shlex.join(arguments)}")
    if code != 0:
        screen.state.error(f"{node.name} was not started (exit code {code}): {output.strip()}")
    return code == 0


def stop(call: Call) -> int:
    """Signal the nodes to end."""
    _signal(call)
    return EX_OK


def stopwait(call: Call) -> int:
    """Signal the nodes to end, and wait until they have."""
    _wait(_signal(call), call.screen)
    return EX_OK


def kill(call: Call) -> int:
    """Kill the nodes; what they ran is run again where tasks are acknowledged late."""
    for node in call.nodes:
        pid = node.pid
        call.screen.note(f"Killing node {node.name} ({pid})" if pid else f"> {node.name}: DOWN")
        if pid:
            _send(pid, signal.SIGKILL)
            node.pidfile.unlink(missing_ok=True)
    return EX_OK


def restart(call: Call) -> int:
    """End each node, and start it anew when it has gone."""
    _wait(_signal(call), call.screen)
    call.screen.note("> Restarting nodes...")
    return _start_all(call)


def show(call: Call) -> int:
    """Print the command lines."""
    for node in call.nodes:
        call.screen.state.echo(shlex.join(node.arguments))
    return EX_OK


def names(call: Call) -> int:
    """Print the names."""
    for node in call.nodes:
        call.screen.state.echo(node.name)
    return EX_OK


def _signal(call: Call) -> list[tuple[Node, int]]:
    """Send the signal; returns the nodes that are up."""
    call.screen.note("> Stopping nodes...")
    up = []
    for node in call.nodes:
        pid = node.pid
        if pid and _send(pid, call.signal):
            call.screen.note(f"\t> {node.name}: {call.signal.name.removeprefix('SIG')} -> {pid}")
            up.append((node, pid))
        else:
            call.screen.note(f"> {node.name}: DOWN")
    return up


def _send(pid: int, number: int) -> bool:
    """Signal a process; False when there is none."""
    if not is_running(pid):
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError as exc:
        raise click.ClickException(f"process {pid} belongs to another user and cannot be signalled") from exc
    return True


def _wait(up: Sequence[tuple[Node, int]], screen: Screen) -> None:
    """Wait until all have gone."""
    left = list(up)
    while left:
        pids = ", ".join(str(pid) for _, pid in left)
        screen.note(f"> Waiting for {len(left)} node{'s' if len(left) > 1 else ''} -> {pids}...", newline=False)
        gone: list[tuple[Node, int]] = []
        while not gone:
            time.sleep(_POLL)
            gone = [(node, pid) for node, pid in left if not is_running(pid)]
        screen.note("")
        for node, pid in gone:
            left.remove((node, pid))
            screen.note(f"\t> {node.name}: {screen.mark(good=True)}")


VERBS: dict[str, Callable[[Call], int]] = {
    "start": start,
    "stop": stop,
    "stopwait": stopwait,
    "stop_verify": stopwait,
    "restart": restart,
    "kill": kill,
    "show": show,
    "names": names,
}

_HELP = """Start, stop and look after several workers on this host.

\b
VERB is one of
  start      start the nodes
  stop       signal them to end
  stopwait   signal them, and wait until they have ended
  restart    stopwait, then start
  kill       kill them
  show       print their command lines
  names      print their names
  get        print the command line of one node: get NODE NODES...
  expand     fill in a template for each: expand TEMPLATE NODES...

NODES are names, or one number: 3 is celery1 celery2 celery3. Options are those of `celeriac worker`, and go to every
node; -c:1,3 9 or -Q:images,mail slow give one to some of them, by number or name. What follows -- goes to every node
as it is. -9, -QUIT and the like choose the signal of stop and restart.
"""


@command(
    "multi",
    help=_HELP,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    examples=(
        ("celeriac multi start 2 -A proj -l INFO --pidfile=%n.pid --logfile=%n.log", "celery1 and celery2"),
        ("celeriac multi start images mail -A proj -Q:images images -c:mail 9", "options for one of them"),
        ("celeriac multi stopwait 2 --pidfile=%n.pid", "end them, and wait"),
    ),
    epilog="Files: --pidfile (default /var/run/celery/%n.pid) and --logfile (/var/log/celery/%n%I.log); %n is the "
    "short name of a node, %h its name, %d its host. Also: --suffix HOST, --prefix TEXT and --range-prefix TEXT change "
    "names, --cmd COMMAND what is run, --append TEXT adds to it; --nosplash, --quiet, --verbose and --no-color change "
    "what is printed.",
)
@click.argument("verb", required=False)
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="NODES... [OPTIONS] [-- ARGUMENTS]")
@click.pass_context
def multi(ctx: click.Context, /, verb: str | None, argv: tuple[str, ...]) -> None:
    """Act on several nodes; the help is above."""
    state: State = ctx.obj
    if verb is None or verb == "help":
        click.echo(ctx.get_help())
        ctx.exit(EX_OK if verb else EX_USAGE)
    words, screen, splash, number = _own_options(argv, state)
    template = words.pop(0) if verb in ("get", "expand") and words else None
    if verb not in VERBS and verb not in ("get", "expand"):
        raise click.UsageError(f"there is no verb {verb!r}; there are {', '.join([*VERBS, 'get', 'expand'])}", ctx)
    try:
        nodes = make_nodes(parse(words, _flags()), _program_options(state))
    except UnknownNode as exc:
        raise click.UsageError(str(exc), ctx) from None
    if not nodes:
        raise click.UsageError(f"name the nodes, or say how many: celeriac multi {verb} 2 -A proj", ctx)
    if verb == "expand":
        for node in nodes:
            state.echo(node.expand(template or ""))
    elif verb == "get":
        ctx.exit(_get(template or "", nodes, state))
    else:
        if splash and verb in ("start", "restart", "stop", "stopwait", "stop_verify"):
            screen.note(click.style(f"celeriac multi v{__version__}", fg="cyan"))
        ctx.exit(VERBS[verb](Call(nodes, screen, number)))


def _get(name: str, nodes: Sequence[Node], state: State) -> int:
    for node in nodes:
        if name in (node.name, node.name.partition("@")[0]):
            state.echo(shlex.join(node.arguments))
            return EX_OK
    state.error(f"Error: there is no node {name!r}; there are {', '.join(node.name for node in nodes)}")
    return EX_FAILURE


def _own_options(argv: Sequence[str], state: State) -> tuple[list[str], Screen, bool, signal.Signals]:
    """Take out the options of ``multi`` itself, and the signal."""
    screen, splash, number, words = Screen(state, quiet=state.quiet), True, signal.SIGTERM, []
    end = argv.index("--") if "--" in argv else len(argv)
    for word in argv[:end]:
        if word in ("-q", "--quiet"):
            screen.quiet = True
        elif word == "--verbose":
            screen.verbose = True
        elif word == "--nosplash":
            splash = False
        elif word == "--no-color":
            state.no_color = True
        elif (meant := _signal_named(word)) is not None:
            number = meant
        else:
            words.append(word)
    return [*words, *argv[end:]], screen, splash, number


def _signal_named(word: str) -> signal.Signals | None:
    """``-9``, ``-KILL`` or ``-SIGKILL``."""
    name = word.removeprefix("-")
    if name == word:
        return None
    if name.isdigit():
        return signal.Signals(int(name)) if int(name) in set(signal.Signals) else None
    name = name if name.startswith("SIG") else f"SIG{name}"
    return signal.Signals.__members__.get(name)


def _program_options(state: State) -> dict[str, str | None]:
    """What stood before ``multi`` and is not handed on by the environment."""
    return {} if state.app_name is None else {"--app": state.app_name}


def _flags() -> frozenset[str]:
    """Options of the program and of its worker that take no value."""
    from celeriac.cli.main import cli
    from celeriac.cli.worker import worker

    params: list[Any] = [*cli.params, *worker.params]
    return frozenset(name for param in params if getattr(param, "is_flag", False) for name in param.opts)
