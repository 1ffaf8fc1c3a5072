"""Commands about tasks: what runs, waits and is known, and limits changed at run time."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.builtins import BUILT_IN
from celeriac.exceptions import SerializationError
from celeriac.protocol import decode_payload
from celeriac.utils.time import rate
from celeriac.worker.commands.registry import CONTROL, INSPECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.worker.commands.state import ControlState
    from celeriac.worker.ledger import Entry

logger = logging.getLogger("celeriac.worker.control")

#: Of tasks that wait for their time, as in Celery.
_PRIORITY = 6


def active(state: ControlState, safe: bool | None = False, **_: Any) -> list[dict[str, Any]]:
    """List of tasks currently being executed."""
    return [request_info(state, entry) for entry in _running(state)]


def reserved(state: ControlState, safe: bool | None = False, **_: Any) -> list[dict[str, Any]]:
    """List of currently reserved tasks, not including scheduled/active."""
    elsewhere = {entry.seq for entry in (*_running(state), *state.parts.holding)}
    return [request_info(state, entry) for entry in state.parts.ledger if entry.seq not in elsewhere]


def scheduled(state: ControlState, safe: bool | None = False, **_: Any) -> list[dict[str, Any]]:
    """List of currently scheduled ETA/countdown tasks."""
    return [
        {"eta": _due(entry, until), "priority": _PRIORITY, "request": request_info(state, entry)}
        for until, entry in state.parts.holding.by_time()
    ]


def query_task(state: ControlState, ids: str | Iterable[str], **_: Any) -> dict[str, Any]:
    """Query for task information by id."""
    wanted = {ids} if isinstance(ids, str) else set(ids)
    running = {entry.seq for entry in _running(state)}
    waiting = {entry.seq for entry in state.parts.holding}
    found: dict[str, Any] = {}
    for entry in state.parts.ledger:
        if entry.task_id in wanted:
            name = "active" if entry.seq in running else "scheduled" if entry.seq in waiting else "reserved"
            found[entry.task_id] = [name, request_info(state, entry)]
    return found


def _running(state: ControlState) -> list[Entry]:
    """What runs: of what a slot was given, the first it has not reported, as many as it runs at once."""
    get = state.parts.ledger.entries.get
    return [
        entry
        for slot in state.parts.pool.slots
        for seq in islice(slot.assigned, slot.capacity)
        if (entry := get(seq)) is not None
    ]


def request_info(state: ControlState, entry: Entry) -> dict[str, Any]:
    """A task as others see it."""
    args, kwargs = _arguments(state, entry)
    slot = entry.slot
    runs = slot is not None and entry.seq in islice(slot.assigned, slot.capacity)
    began = (entry.began_at or entry.sent_at) if runs else None
    return {
        "id": entry.task_id,
        "name": entry.name,
        "args": args,
        "kwargs": kwargs,
        "type": entry.name,
        "hostname": state.hostname,
        "time_start": began,
        "acknowledged": entry.acked,
        "delivery_info": dict(entry.job.delivery_info),
        "worker_pid": slot.pid if slot is not None and runs else None,
    }


def _arguments(state: ControlState, entry: Entry) -> tuple[Any, Any]:
    """The arguments of a task; the text its sender gave of them, where they cannot be read, or not shown."""
    job, app = entry.job, state.app
    if job.content_type == "application/json":
        try:
            args, kwargs, _ = decode_payload(
                job.body, job.content_type, job.content_encoding, job.headers, app.serializers, app.accept_content
            )
        except (SerializationError, ValueError, TypeError):
            pass
        else:
            return list(args), dict(kwargs)
    return job.headers.get("argsrepr"), job.headers.get("kwargsrepr")


def _due(entry: Entry, until: float) -> str:
    eta = entry.job.headers.get("eta")
    return str(eta) if eta else datetime.fromtimestamp(time.time() + until - time.monotonic(), UTC).isoformat()


def registered(
    state: ControlState, taskinfoitems: Iterable[str] | None = None, builtins: bool = False, **_: Any
) -> list[str]:
    """List of registered tasks."""
    shown = list(taskinfoitems or ("exchange", "routing_key", "rate_limit"))
    tasks = state.app.tasks
    names = sorted(name for name in tasks if builtins or not name.startswith(BUILT_IN))
    return [_described(tasks[name], shown) for name in names]


def _described(task: Any, attributes: list[str]) -> str:
    values = {name: getattr(task, name, None) for name in attributes}
    text = " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
    return f"{task.name} [{text}]" if text else str(task.name)


def rate_limit(state: ControlState, task_name: str, rate_limit: str | float | None, **_: Any) -> dict[str, Any]:
    """Tell worker(s) to modify the rate limit for a task by type."""
    try:
        per_second = rate(rate_limit)
    except ValueError as exc:
        return {"error": f"Invalid rate limit string: {exc!r}"}
    task = state.app.tasks.get(task_name)
    if task is None:
        logger.error("Rate limit attempt for unknown task %s", task_name)
        return {"error": "unknown task"}
    task.rate_limit = rate_limit or 0
    state.parts.intake.reset_rate_limit(task_name)
    waiting = state.parts.holding.take(lambda entry: entry.rate_limited and entry.plan.name == task_name)
    for entry in waiting:
        entry.plan = task.plan
        until = state.parts.intake.next_turn(entry)
        if until is None:
            state.parts.dispatcher.add([entry])
        else:
            state.parts.holding.hold(entry, until)
    state.parts.replan()
    if not per_second:
        logger.info("Rate limits disabled for tasks of type %s", task_name)
        return {"ok": "rate limit disabled successfully"}
    logger.info("New rate limit for tasks of type %s: %s.", task_name, rate_limit)
    return {"ok": "new rate limit set successfully"}


def time_limit(
    state: ControlState, task_name: str, hard: float | None = None, soft: float | None = None, **_: Any
) -> dict[str, Any]:
    """Tell worker(s) to modify the time limit for task by type."""
    task = state.app.tasks.get(task_name)
    if task is None:
        logger.error("Change time limit attempt for unknown task %s", task_name)
        return {"error": "unknown task"}
    task.soft_time_limit, task.time_limit = soft, hard
    logger.info("New time limits for tasks of type %s: soft=%s hard=%s", task_name, soft, hard)
    return {"ok": "time limits set successfully"}


COMMANDS: Final[tuple[tuple[Any, dict[str, Any]], ...]] = (
    (active, {"type": INSPECT, "alias": "dump_active"}),
    (reserved, {"type": INSPECT, "alias": "dump_reserved"}),
    (scheduled, {"type": INSPECT, "alias": "dump_schedule"}),
    (query_task, {"type": INSPECT, "variadic": "ids", "signature": "[id1 [id2 [... [idN]]]]"}),
    (
        registered,
        {
            "type": INSPECT,
            "alias": "dump_tasks",
            "variadic": "taskinfoitems",
            "signature": "[attr1 [attr2 [... [attrN]]]]",
        },
    ),
    (
        rate_limit,
        {
            "type": CONTROL,
            "args": [("task_name", str), ("rate_limit", str)],
            "signature": "<task_name> <rate_limit (e.g., 5/s | 5/m | 5/h)>",
        },
    ),
    (
        time_limit,
        {
            "type": CONTROL,
            "args": [("task_name", str), ("soft", float), ("hard", float)],
            "signature": "<task_name> <soft_secs> [hard_secs]",
        },
    ),
)
