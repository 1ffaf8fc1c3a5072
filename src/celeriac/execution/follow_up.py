"""What a finished task sets in motion: its links, the next task of its chain or the failure of them all, its errbacks.

Publishing is the app's job; when each of these goes out is decided by `celeriac.execution.execute`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.canvas.signature import maybe_signature
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.utils.time import utcnow_iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.current import AppLike, Context

logger = logging.getLogger(__name__)

#: Why a member of a chord is not run.
CHORD_NOT_BUILT = (
    "this version of Celeriac cannot count the members of a chord, so its body would never run: chords are not built "
    "yet; let workers of Celery consume the queues of chords"
)


def publish_next(app: AppLike, request: Context, value: Any) -> None:
    """Send the links and the next task of the chain, with the result as their first argument."""
    priority = _inherited_priority(app, request)
    common: dict[str, Any] = {"parent_id": request.id, "root_id": request.root_id}
    if priority is not None:
        common["priority"] = priority
    for link in request.callbacks or ():
        maybe_signature(link, app=app).apply_async((value,), **common)
    if request.chain:
        chain = list(request.chain)
        step = maybe_signature(chain.pop(), app=app)
        step.apply_async((value,), chain=chain, **common)


def publish_errbacks(app: AppLike, request: Context, exc: BaseException, traceback: str | None) -> None:
    """Call or send the errbacks of a failed task.

    One registered here whose function takes more than one positional argument is called in place, as
    ``errback(request, exc, traceback)``; any other is sent with the id of the failed task as its argument.
    """
    for raw in request.errbacks or ():
        errback = maybe_signature(raw, app=app)
        task = app.tasks.get(errback.task) if errback.subtask_type is None else None
        if task is not None and task.accepts_failure_arguments:
            _call_in_place(task, errback, request, exc, traceback)
        else:
            errback.apply_async((request.id,), parent_id=request.id, root_id=request.root_id)


def _call_in_place(task: Any, errback: Any, request: Context, exc: BaseException, traceback: str | None) -> None:
    """A failing errback is logged: the others still run, and the task's state stands."""
    args = tuple(errback.args or ())
    lead = () if errback.immutable else (request, exc, traceback)
    try:
        task(*lead, *args, **(errback.kwargs or {}))
    except Exception:
        logger.error("Errback %s of task %s raised:\n%s", errback.task, request.id, ExceptionInfo())


def ids_of(signature: Any) -> Iterator[str]:
    """The ids that a frozen signature or workflow will have, those of its parts included."""
    if not isinstance(signature, dict):
        return
    task_id = (signature.get("options") or {}).get("task_id")
    if isinstance(task_id, str):
        yield task_id
    kwargs = signature.get("kwargs") or {}
    parts = kwargs.get("tasks") if signature.get("subtask_type") in ("chain", "group") else ()
    for part in (*(parts or ()), kwargs.get("body") if signature.get("subtask_type") == "chord" else None):
        yield from ids_of(part)


def failed_rest(chain: Any, exc: BaseException, traceback: str | None) -> list[ResultRecord]:
    """Records for the steps of a chain that will not run, for which somebody may be waiting.

    Args:
        chain: The rest of the chain, as the message of a step carries it.
        exc: Exception of the step that failed.
        traceback: Text of its traceback.
    """
    return [_failed(leaf, exc, traceback) for step in reversed(chain or ()) for leaf in _leaves(step)]


def _leaves(step: Any) -> Iterator[Mapping[str, Any]]:
    """The frozen tasks of a step, which may be a workflow, that keep a result."""
    if not isinstance(step, Mapping):
        return
    kwargs = step.get("kwargs") or {}
    kind, options = step.get("subtask_type"), step.get("options") or {}
    if kind in ("chain", "group"):
        for part in kwargs.get("tasks") or ():
            yield from _leaves(part)
    elif kind == "chord":
        yield from _leaves(kwargs.get("body"))
    elif isinstance(options.get("task_id"), str) and not options.get("ignore_result"):
        yield options


def _failed(options: Mapping[str, Any], exc: BaseException, traceback: str | None) -> ResultRecord:
    task_id = options["task_id"]
    record = ResultRecord(task_id, states.FAILURE, exc, traceback, [], utcnow_iso(), options.get("group_id"))
    record.reply_to, record.correlation_id = options.get("reply_to"), task_id
    return record


def _inherited_priority(app: AppLike, request: Context) -> int | None:
    if not app.conf.task_inherit_parent_priority:
        return None
    priority: int | None = (request.delivery_info or {}).get("priority")
    return priority
