"""`Panel`, as in ``celery.worker.control``: the older way to add commands for remote control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.worker.commands.registry import COMMANDS, control_command, load_builtins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Panel"]


class _Functions:
    """Functions of commands by name, read from the table."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        load_builtins()
        return COMMANDS[name].function

    def __contains__(self, name: object) -> bool:
        load_builtins()
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        load_builtins()
        return iter(dict(COMMANDS))

    def get(self, name: str, default: Any = None) -> Any:
        """A function, or something else where there is no such command."""
        return self[name] if name in self else default  # noqa: SIM401 - it is what get() does


class Panel:
    """The commands of workers.

    Attributes:
        data: Functions by name.
        meta: Descriptions by name.
    """

    data = _Functions()
    meta = COMMANDS

    @classmethod
    def register(cls, *args: Any, **options: Any) -> Any:
        """Add a command; as a decorator, with or without parentheses."""
        return control_command(*args, **options)
