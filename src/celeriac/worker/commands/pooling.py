"""Commands about the pool: its size, replacing its children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.app.reloading import refresh
from celeriac.worker.commands.registry import CONTROL

if TYPE_CHECKING:
    from celeriac.worker.commands.state import ControlState


def pool_grow(state: ControlState, n: int = 1, **_: Any) -> dict[str, Any]:
    """Grow pool by n processes/threads."""
    _resize(state, n)
    return {"ok": "pool will grow"}


def pool_shrink(state: ControlState, n: int = 1, **_: Any) -> dict[str, Any]:
    """Shrink pool by n processes/threads."""
    _resize(state, -n)
    return {"ok": "pool will shrink"}


def _resize(state: ControlState, by: int) -> None:
    pool = state.parts.pool
    if state.parts.autoscaler is not None:
        raise ValueError("the pool is autoscaled: change its bounds with the command autoscale")
    if pool.size + by < 1:
        raise ValueError(f"the pool runs {pool.size} task(s) at once, and cannot shrink by {-by}: one has to remain")
    pool.resize(pool.size + by)
    state.parts.replan()


def pool_restart(
    state: ControlState, modules: Any = None, reload: bool = False, reloader: Any = None, **_: Any
) -> dict[str, Any]:
    """Restart execution pool."""
    if not state.app.conf.worker_pool_restarts:
        raise ValueError("Pool restarts not enabled")
    if reloader is not None:
        raise NotImplementedError(f"pool_restart: reloader is {reloader!r}, but functions do not travel: leave it out")
    names = [modules] if isinstance(modules, str) else list(modules or ())
    if reload and not names:
        names = list(dict.fromkeys((*state.app.conf.imports, *state.app.conf.include)))
    if names:
        # Here too: this process knows which tasks there are, and their limits.
        refresh(state.app, names, reload=reload)
        state.parts.pool.restart(names, reload=reload)
    else:
        state.parts.pool.restart()
    return {"ok": "reload started"}


def autoscale(state: ControlState, max: int | None = None, min: int | None = None, **_: Any) -> dict[str, Any]:
    """Modify autoscale settings."""
    if state.parts.autoscaler is None:
        raise ValueError("Autoscale not enabled")
    high, low = state.parts.autoscaler.update(max, min)
    return {"ok": f"autoscale now max={high} min={low}"}


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (pool_grow, {"type": CONTROL, "args": [("n", int)], "signature": "[N=1]"}),
    (pool_shrink, {"type": CONTROL, "args": [("n", int)], "signature": "[N=1]"}),
    (pool_restart, {"type": CONTROL}),
    (autoscale, {"type": CONTROL, "args": [("max", int), ("min", int)], "signature": "[max [min]]"}),
)
