"""The table of remote-control commands, and the decorators that add to it.  It carries nothing out."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, cast, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COMMANDS", "CommandInfo", "control_command", "find", "inspect_command"]

F = TypeVar("F", bound="Callable[..., Any]")

CONTROL, INSPECT = "control", "inspect"


class CommandInfo(NamedTuple):
    """A command and how it is called.

    Attributes:
        name: Its name.
        function: Called as ``function(state, **arguments)`` on the worker's loop.
        type: ``control`` or ``inspect``.
        alias: Another name.
        visible: The command line lists it.
        default_timeout: Seconds the command line waits for answers.
        help: One line.
        signature: Its arguments, as shown to people.
        args: Names and types of its positional arguments on the command line.
        variadic: Name of the argument that takes all further ones as a list.
    """

    name: str
    function: Callable[..., Any]
    type: str
    alias: str | None
    visible: bool
    default_timeout: float
    help: str
    signature: str | None
    args: tuple[tuple[str, Callable[[str], Any]], ...] | None
    variadic: str | None


#: Commands by name and alias.
COMMANDS: dict[str, CommandInfo] = {}


def find(name: str) -> CommandInfo:
    """A command by its name or alias.

    Raises:
        KeyError: There is none.
    """
    load_builtins()
    return COMMANDS[name]


def known(kind: str) -> list[CommandInfo]:
    """The commands of a type, by name."""
    load_builtins()
    return sorted({info for info in COMMANDS.values() if info.type == kind}, key=lambda info: info.name)


def load_builtins() -> None:
    """Fill the table; a command of the same name that was added before stays."""
    from celeriac.worker.commands import builtin

    builtin.register()


class CommandDecorator(Protocol):
    """A decorator that is used with or without options."""

    @overload
    def __call__(self, function: F, /) -> F: ...

    @overload
    def __call__(
        self,
        function: None = None,
        /,
        *,
        name: str | None = ...,
        alias: str | None = ...,
        type: str = ...,
        visible: bool = ...,
        default_timeout: float = ...,
        help: str | None = ...,
        signature: str | None = ...,
        args: Sequence[tuple[str, Callable[[str], Any]]] | None = ...,
        variadic: str | None = ...,
    ) -> Callable[[F], F]: ...


def _typed(function: Callable[..., Any]) -> CommandDecorator:
    return cast("CommandDecorator", function)


@_typed
def control_command(function: Any = None, /, **options: Any) -> Any:
    """Decorator: a command that changes something (``celeriac control``).

    The function gets the worker's state (``app``, ``hostname``, ``consumer``) and its arguments by name; what it
    returns is the answer, and an exception is answered as ``{"error": repr}``. It runs on the worker's event loop and
    must not block.

    Args:
        function: The function, when the decorator is used without arguments.
        **options: ``name`` (default: the function's), ``alias``, ``visible`` (True), ``default_timeout`` (1.0
            seconds), ``help`` (the first line of the docstring), ``signature`` (text for people), ``args`` (pairs of
            name and type of what the command line takes), ``variadic`` (the argument that takes the rest as a list).
    """
    return _decorate(function, {"type": CONTROL} | options)


@_typed
def inspect_command(function: Any = None, /, **options: Any) -> Any:
    """Decorator: a command that tells something (``celeriac inspect``). See `control_command`."""
    return _decorate(function, {"type": INSPECT} | options)


def _decorate(function: Any, options: dict[str, Any]) -> Any:
    def register(function: F) -> F:
        add(function, **options)
        return function

    return register if function is None else register(function)


def add(
    function: Callable[..., Any],
    *,
    type: str,
    name: str | None = None,
    alias: str | None = None,
    visible: bool = True,
    default_timeout: float = 1.0,
    help: str | None = None,
    signature: str | None = None,
    args: Sequence[tuple[str, Callable[[str], Any]]] | None = None,
    variadic: str | None = None,
    replace: bool = True,
) -> None:
    """Put a command into the table.

    Raises:
        ValueError: ``type`` is unknown.
    """
    if type not in (CONTROL, INSPECT):
        raise ValueError(f"type is {type!r}: a command is of type 'control' or 'inspect'")
    called = name or function.__name__
    doc = inspect.getdoc(function) or ""
    text = help or doc.partition("\n")[0]
    declared = None if args is None else tuple(args)
    info = CommandInfo(
        called, function, type, alias, visible, default_timeout, text, signature, declared, variadic
    )  # fmt: skip
    for key in (called, alias):
        if key is not None and (replace or key not in COMMANDS):
            COMMANDS[key] = info
