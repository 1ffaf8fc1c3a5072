"""What is stored about a task: a record, from its request.  Storing it is the backend's job."""

from __future__ import annotations

from typing import Any

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.utils.time import utcnow_iso


def record_of(
    request: Any, task_id: str, state: str, value: Any, traceback: str | None, *, extended: bool
) -> ResultRecord:
    """The record of a task.

    Args:
        request: Of the task.
        task_id: Its id.
        state: Its state.
        value: Its value, its exception, or what a custom state holds.
        traceback: Text of the traceback.
        extended: Keep name, arguments, worker, retries and queue too (``result_extended``).
    """
    return ResultRecord(
        task_id,
        state,
        value,
        traceback,
        [child.as_tuple() for child in request.__dict__.get("_children", ())],
        utcnow_iso() if state in states.READY_STATES else None,
        request.group,
        request.parent_id,
        _extra(request, extended) if extended or request.stamped_headers else None,
        request.reply_to,
        request.correlation_id,
    )


def _extra(request: Any, extended: bool) -> dict[str, Any]:
    """Fields of ``result_extended``, and the stamps."""
    extra: dict[str, Any] = {}
    if extended:
        extra = {
            "name": request.get("task"),
            "args": list(request.args or ()),
            "kwargs": dict(request.kwargs or {}),
            "worker": request.hostname,
            "retries": request.retries,
            "queue": (request.delivery_info or {}).get("routing_key"),
        }
        # Told by django-celery-beat, for the tables of django-celery-results.
        entry = request.get("periodic_task_name") or (request.headers or {}).get("periodic_task_name")
        if entry is not None:
            extra["periodic_task_name"] = entry
    if request.stamped_headers:
        extra["stamped_headers"] = request.stamped_headers
        extra.update(request.stamps or {})
    return extra
