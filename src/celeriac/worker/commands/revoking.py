"""Commands that let tasks not run: revoke, terminate, revoke_by_stamped_headers, and what is revoked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from celeriac.control import revokes
from celeriac.worker.commands.registry import CONTROL, INSPECT
from celeriac.worker.revoking import signal_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.worker.commands.state import ControlState

logger = logging.getLogger("celeriac.worker.control")


def revoke(
    state: ControlState,
    task_id: str | Iterable[str],
    terminate: bool = False,
    signal: str | int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Revoke task by task id (or list of ids)."""
    ids = [task_id] if isinstance(task_id, str) else [str(one) for one in task_id]
    number = signal_number(signal) if terminate else 0
    _keep(state, revokes.IDS, ids)
    running = state.parts.revoking.revoke_ids(ids)
    if not terminate:
        logger.info("Tasks flagged as revoked: %s", ", ".join(ids))
        return {"ok": f"tasks {_as_set(ids)} flagged as revoked"}
    ended = state.parts.revoking.terminate(running, number)
    return {"ok": f"terminate: {', '.join(ended) if ended else 'tasks unknown'}"}


def _as_set(ids: Iterable[str]) -> str:
    """Ids as Celery's workers write them."""
    return f"{{{', '.join(repr(one) for one in sorted(set(ids)))}}}"


def terminate(state: ControlState, signal: str | int, task_id: str | Iterable[str], **options: Any) -> dict[str, Any]:
    """Terminate task by task id (or list of ids)."""
    return revoke(state, task_id, terminate=True, signal=signal, **options)


def revoke_by_stamped_headers(
    state: ControlState,
    headers: Any,
    terminate: bool = False,
    signal: str | int | None = None,
    **_: Any,
) -> dict[str, Any]:
    """Revoke task by header (or list of headers)."""
    number = signal_number(signal) if terminate else 0
    stamps = revokes.stamps_of(headers)
    _keep(state, revokes.STAMPS, [revokes.pack_stamp(stamp) for stamp in stamps])
    running = state.parts.revoking.revoke_stamps(stamps)
    named = headers if isinstance(headers, dict) else ", ".join(headers)
    if not terminate:
        return {"ok": f"headers {named} flagged as revoked, but not terminated"}
    if not running:
        return {"ok": f"headers {named} were not terminated"}
    ended = state.parts.revoking.terminate(running, number)
    return {"ok": f"headers {named} revoked" if ended else f"headers {named} were not terminated"}


def _keep(state: ControlState, topic: str, notices: list[str]) -> None:
    """Have the broker keep what a client told workers only, as Celery's do."""
    request = state.request
    if request is not None and not request.kept and not request.destination and not request.pattern:
        state.parts.broker.keep_notices(topic, notices, revokes.revoke_expires())


def revoked(state: ControlState, **_: Any) -> list[str]:
    """List of revoked task-ids."""
    return state.parts.revoking.revoked.listed()


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (revoke, {"type": CONTROL, "variadic": "task_id", "signature": "[id1 [id2 [... [idN]]]]"}),
    (
        terminate,
        {
            "type": CONTROL,
            "args": [("signal", str)],
            "variadic": "task_id",
            "signature": "<signal> [id1 [id2 [... [idN]]]]",
        },
    ),
    (
        revoke_by_stamped_headers,
        {
            "type": CONTROL,
            "variadic": "headers",
            "signature": "[key1=value1 [key2=value2 [... [keyN=valueN]]]]",
        },
    ),
    (revoked, {"type": INSPECT, "alias": "dump_revoked"}),
)
