"""Commands about a node as a whole: ping, shutdown, events, election."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Final

from celeriac.exceptions import WorkerShutdown
from celeriac.worker.commands.registry import CONTROL, INSPECT

if TYPE_CHECKING:
    from celeriac.worker.commands.state import ControlState


def ping(state: ControlState, **_: Any) -> dict[str, Any]:
    """Ping worker(s)."""
    return {"ok": "pong"}


def shutdown(state: ControlState, msg: str = "Got shutdown from remote", **_: Any) -> None:
    """Shutdown worker(s)."""
    state.parts.request_stop(signal.SIGTERM)
    raise WorkerShutdown(0)


def heartbeat(state: ControlState, **_: Any) -> None:
    """Tell worker(s) to send event heartbeat immediately."""
    state.parts.events.heartbeat()


def enable_events(state: ControlState, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to send task-related events."""
    changed = state.parts.events.enable_task_events()
    return {"ok": "task events enabled" if changed else "task events already enabled"}


def disable_events(state: ControlState, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to stop sending task-related events."""
    changed = state.parts.events.disable_task_events()
    return {"ok": "task events disabled" if changed else "task events already disabled"}


def election(state: ControlState, id: str, topic: str, action: Any = None, **_: Any) -> None:
    """Hold election."""
    raise NotImplementedError(
        f"this worker does not gossip, so it takes no part in the election {id!r} about {topic!r}"
    )


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (ping, {"type": INSPECT, "default_timeout": 0.2}),
    (shutdown, {"type": CONTROL}),
    (heartbeat, {"type": CONTROL}),
    (enable_events, {"type": CONTROL}),
    (disable_events, {"type": CONTROL}),
    (election, {"type": CONTROL}),
)
