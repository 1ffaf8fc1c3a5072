"""``celeriac inspect``, ``control`` and ``status``: asking running workers, and telling them what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from celeriac.cli.errors import EX_UNAVAILABLE, Unreachable
from celeriac.cli.find_app import import_tasks
from celeriac.cli.options import COMMA_SEPARATED_LIST, command, option
from celeriac.exceptions import OperationalError
from celeriac.worker.commands.registry import CONTROL, INSPECT, CommandInfo, known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.app.base import Celery
    from celeriac.cli.options import F
    from celeriac.cli.state import State

#: Seconds to wait for answers; a command that takes longer says so itself.
_TIMEOUT = 1.0
_NO_REPLY = "No nodes replied within time constraint"
_EXIT_CODES = "Exit codes: 0 a node answered, 2 wrong usage, 69 no node answered, or the broker cannot be reached."


def _remote_options(function: F) -> F:
    """Decorator: the options that all three have."""
    for each in (
        option("-j", "--json", "as_json", is_flag=True, help="Print the answers as JSON."),
        option("-d", "--destination", type=COMMA_SEPARATED_LIST, metavar="NODES",
               help="Only these nodes, separated by commas. Default: all."),
        option("-t", "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS",
               help="Wait for answers no longer than this. Default: 1."),
    ):  # fmt: skip
        function = each(function)
    return function


def _list_option(kind: str) -> Callable[[F], F]:
    def show(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if not value or ctx.resilient_parsing:
            return
        _import_user_commands(ctx.obj.app)
        formatter = ctx.make_formatter()
        with formatter.section(f"{kind.capitalize()} commands"):
            formatter.write_dl(
                [
                    (f"{info.name} {info.signature}" if info.signature else info.name, info.help)
                    for info in known(kind)
                    if info.visible
                ]
            )
        click.echo(formatter.getvalue().rstrip())
        ctx.exit()

    return option("--list", is_flag=True, is_eager=True, expose_value=False, callback=show,
                  help="Print the commands and their arguments.")  # fmt: skip


def _import_user_commands(app: Celery) -> None:
    """Commands are added by the modules of the app."""
    import_tasks(app)


def _find(ctx: click.Context, kind: str, name: str) -> CommandInfo:
    """A command of a kind.

    Raises:
        UsageError: There is none.
    """
    for attempt in (False, True):
        if attempt:
            _import_user_commands(ctx.obj.app)
        for info in known(kind):
            if name in (info.name, info.alias):
                return info
    names = ", ".join(info.name for info in known(kind) if info.visible)
    raise click.UsageError(f"Command {name} not recognized. Available {kind} commands: {names}", ctx)


def _arguments(ctx: click.Context, info: CommandInfo, words: Sequence[str]) -> dict[str, Any]:
    """Words of the command line as the arguments of a command.

    Raises:
        UsageError: There are too many, or one has the wrong type.
    """
    declared = list(info.args or ())
    found: dict[str, Any] = {}
    for (name, convert), word in zip(declared, words, strict=False):
        try:
            found[name] = convert(word)
        except (ValueError, TypeError) as exc:
            raise click.UsageError(f"{name} of command {info.name!r} is {word!r}: {exc}", ctx) from None
    rest = list(words[len(declared) :])
    if info.variadic:
        found[info.variadic] = rest
    elif rest:
        takes = f"takes arguments: {info.signature}" if info.signature else "takes no arguments"
        raise click.UsageError(f"Command {info.name!r} {takes}", ctx)
    return found


class _Printer:
    """Prints answers as they come.

    Args:
        state: Of the command line.
        brief: Only whether a node is well.
    """

    def __init__(self, state: State, *, brief: bool = False) -> None:
        self._state = state
        self._brief = brief

    def __call__(self, reply: dict[str, Any]) -> None:
        for node, answer in reply.items():
            value, failed = _unwrapped(answer)
            arrow = "" if self._state.quiet else click.style("-> ", fg="blue", bold=True)
            verdict = click.style("ERROR", fg="red", bold=True) if failed else click.style("OK", fg="green", bold=True)
            self._state.echo(f"{arrow} {node}: {verdict}")
            if not self._brief:
                self._print_body(value)

    def _print_body(self, value: Any) -> None:
        if isinstance(value, dict):
            self._indented(json.dumps(value, sort_keys=True, indent=4, default=str), 4)
        elif isinstance(value, list | tuple):
            self._indented("\n".join(f"* {item}" for item in value) if value else "- empty -", 4)
        else:
            self._indented(str(value), 8)

    def _indented(self, text: str, width: int) -> None:
        self._state.echo("\n".join(f"{' ' * width}{line}" for line in text.splitlines()))


def _unwrapped(answer: Any) -> tuple[Any, bool]:
    """What a node says, and whether that is an error."""
    if isinstance(answer, dict) and len(answer) == 1:
        if "ok" in answer:
            return answer["ok"], False
        if "error" in answer:
            return answer["error"], True
    return answer, False


def _send(
    ctx: click.Context,
    info: CommandInfo,
    arguments: dict[str, Any],
    *,
    timeout: float | None,
    destination: Sequence[str] | None,
    printer: _Printer | None,
) -> list[dict[str, Any]]:
    """Send a command; returns the answers, which are printed meanwhile.

    Raises:
        Unreachable: The broker cannot be reached.
    """
    app: Celery = ctx.obj.app
    control = app.control
    options: dict[str, Any] = {
        "destination": destination, "timeout": timeout or max(_TIMEOUT, info.default_timeout), "reply": True,
        "callback": printer,
    }  # fmt: skip
    # Those that are kept in the broker.
    method = getattr(control, info.name) if info.name in ("revoke", "revoke_by_stamped_headers", "terminate") else None
    try:
        if method is not None and arguments.get("task_id", arguments.get("headers")):
            return method(**_for_client(arguments), **options) or []
        return control.broadcast(info.name, arguments, **options) or []
    except OperationalError as exc:
        raise Unreachable("message broker", app.broker.url, exc) from exc


def _carry_out(
    ctx: click.Context,
    kind: str,
    *,
    name: str,
    words: tuple[str, ...],
    timeout: float | None,
    destination: list[str] | None,
    as_json: bool,
) -> list[dict[str, Any]]:
    """Send what the command line says; returns the answers, which are printed meanwhile unless they are to be JSON."""
    info = _find(ctx, kind, name)
    arguments = _arguments(ctx, info, words)
    printer = None if as_json else _Printer(ctx.obj)
    return _send(ctx, info, arguments, timeout=timeout, destination=destination, printer=printer)


def _for_client(arguments: dict[str, Any]) -> dict[str, Any]:
    """Stamps of the command line as the client takes them."""
    words = arguments.get("headers")
    if words is None:
        return arguments
    from celeriac.control.revokes import stamps_of

    headers: dict[str, list[str]] = {}
    try:
        for name, value in stamps_of(words):
            headers.setdefault(name, []).append(value)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    return {"headers": headers}


def _finish(ctx: click.Context, replies: list[dict[str, Any]], *, count: bool) -> None:
    state: State = ctx.obj
    if not replies:
        state.error(f"Error: {_NO_REPLY}")
        ctx.exit(EX_UNAVAILABLE)
    if count and not state.quiet:
        number = len({node for reply in replies for node in reply})
        state.echo(f"\n{number} {'node' if number == 1 else 'nodes'} online.")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, default=str, ensure_ascii=False))


def _merged(replies: list[dict[str, Any]]) -> dict[str, Any]:
    return {node: answer for reply in replies for node, answer in reply.items()}


@command(
    "inspect",
    examples=(
        ("celeriac -A proj inspect active", "tasks that run"),
        ("celeriac -A proj inspect ping -d celery@web1", "one worker"),
        ("celeriac -A proj inspect stats --json", "for scripts"),
        ("celeriac -A proj inspect --list", "all questions"),
    ),
    epilog=_EXIT_CODES,
)
@_list_option(INSPECT)
@_remote_options
@click.argument("name", metavar="COMMAND")
@click.argument("words", nargs=-1, metavar="[ARGS]...")
@click.pass_context
def inspect(ctx: click.Context, /, as_json: bool, **given: Any) -> None:
    """Ask running workers about themselves and their tasks."""
    replies = _carry_out(ctx, INSPECT, as_json=as_json, **given)
    if as_json and replies:
        _print_json(_merged(replies))
    _finish(ctx, replies, count=not as_json)


@command(
    "control",
    examples=(
        ("celeriac -A proj control revoke ID", "do not run a task"),
        ("celeriac -A proj control terminate SIGKILL ID", "and end it if it runs"),
        ("celeriac -A proj control rate_limit proj.tasks.mail 10/m", "begin it at most 10 times a minute"),
        ("celeriac -A proj control add_consumer images -d celery@web1", "consume one more queue"),
        ("celeriac -A proj control --list", "all commands"),
    ),
    epilog=f"{_EXIT_CODES} The command shutdown is not answered.",
)
@_list_option(CONTROL)
@_remote_options
@click.argument("name", metavar="COMMAND")
@click.argument("words", nargs=-1, metavar="[ARGS]...")
@click.pass_context
def control(ctx: click.Context, /, as_json: bool, **given: Any) -> None:
    """Tell running workers what to do."""
    replies = _carry_out(ctx, CONTROL, as_json=as_json, **given)
    if as_json and replies:
        _print_json(replies)
    _finish(ctx, replies, count=False)


@command(
    "status",
    examples=(("celeriac -A proj status", "the workers that are up"),),
    epilog=_EXIT_CODES,
)
@_remote_options
@click.pass_context
def status(ctx: click.Context, /, timeout: float | None, destination: list[str] | None, as_json: bool) -> None:
    """Show which workers are up."""
    info = _find(ctx, INSPECT, "ping")
    printer = None if as_json else _Printer(ctx.obj, brief=True)
    replies = _send(ctx, info, {}, timeout=timeout, destination=destination, printer=printer)
    if as_json and replies:
        _print_json(_merged(replies))
    _finish(ctx, replies, count=not as_json)
