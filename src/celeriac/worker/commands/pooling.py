"""Commands about the pool: its size, replacing its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.worker.commands.registry import CONTROL

if TYPE_CHECKING:
    from celeriac.worker.commands.state import ControlState


def pool_grow(state: ControlState, n: int = 1, **_: Any) -> dict[str, Any]:
    """Grow pool by n processes/threads."""
    raise NotImplementedError("the size of a running pool cannot be changed in this version: restart with -c")


def pool_shrink(state: ControlState, n: int = 1, **_: Any) -> dict[str, Any]:
    """Shrink pool by n processes/threads."""
    raise NotImplementedError("the size of a running pool cannot be changed in this version: restart with -c")


def pool_restart(state: ControlState, modules: Any = None, reload: bool = False, **_: Any) -> dict[str, Any]:
    """Restart execution pool."""
    raise ValueError("Pool restarts not enabled")


def autoscale(state: ControlState, max: int | None = None, min: int | None = None, **_: Any) -> dict[str, Any]:
    """Modify autoscale settings."""
    raise ValueError("Autoscale not enabled")


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (pool_grow, {"type": CONTROL, "args": [("n", int)], "signature": "[N=1]"}),
    (pool_shrink, {"type": CONTROL, "args": [("n", int)], "signature": "[N=1]"}),
    (pool_restart, {"type": CONTROL}),
    (autoscale, {"type": CONTROL, "args": [("max", int), ("min", int)], "signature": "[max [min]]"}),
)
