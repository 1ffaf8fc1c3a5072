"""What a finished task sets in motion: its links, the next task of its chain or the failure of them all, its errbacks.

Chords are `celeriac.execution.chords`' business.  Publishing is the app's job; when each of these goes out is decided
by `celeriac.execution.execute`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.exceptions import GraphMissing, SerializationError
from celeriac.execution import relaying
from celeriac.execution.patience import patiently
from celeriac.serialization.einfo import ExceptionInfo
from celeriac.utils.time import utcnow_iso

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.current import AppLike, Context

logger = logging.getLogger(__name__)


def publish_next(app: AppLike, request: Context, value: Any) -> None:
    """Send the links and the next task of the chain, with the result as their first argument."""
    priority = inherited_priority(app, request)
    common: dict[str, Any] = {"parent_id": request.id, "root_id": request.root_id}
    if priority is not None:
        common["priority"] = priority
    for link in request.callbacks or ():
        try:
            _signature(app, link).apply_async((value,), **common)
        except SerializationError:
            raise
        except Exception:
            if not runs_in_place(app, request):
                raise
            logger.exception("Task %s: a link of it failed", request.id)
    if request.chain:
        _publish_step(app, list(request.chain), value, common)


def runs_in_place(app: AppLike, request: Context) -> bool:
    """What a task sends runs at once, and its failure is not one to send it."""
    return bool(request.is_eager and app.conf.task_always_eager and not app.conf.task_eager_propagates)


def resume(app: AppLike, request: Context, graph_id: str, value: Any) -> None:
    """Do what a worker of Celery could not that came upon a reference: send the next step of what it stands for.

    Args:
        app: The application.
        request: Of the task that the reference was sent as.
        graph_id: What it stands for.
        value: Result of the step before.
    """
    common: dict[str, Any] = {"parent_id": request.parent_id, "root_id": request.root_id}
    priority = inherited_priority(app, request)
    if priority is not None:
        common["priority"] = priority
    steps = _patiently_read(app, graph_id)
    _publish_step(app, [*(request.chain or ()), *steps], value, common)


def _publish_step(app: AppLike, chain: list[Any], value: Any, common: Mapping[str, Any]) -> None:
    step = chain.pop()
    from celeriac.canvas import graphs

    while graphs.is_reference(step):
        chain += _patiently_read(app, step["kwargs"]["graph"])
        step = chain.pop()
    with relaying.current() or nullcontext():
        _signature(app, step).apply_async((value,), chain=chain, **common)


def _signature(app: AppLike, step: Any) -> Any:
    """A call as a value. What is about workflows is loaded by workers that meet some."""
    from celeriac.canvas.signature import maybe_signature

    return maybe_signature(step, app=app)


def _patiently_read(app: AppLike, graph_id: str) -> list[Any]:
    from celeriac.canvas import graphs

    what = f"read graph {graph_id} from {app.backend.url}"
    return patiently(lambda: graphs.read(app, graph_id), what)


def publish_errbacks(app: AppLike, request: Context, exc: BaseException, traceback: str | None) -> None:
    """Call or send the errbacks of a failed task.

    One registered here whose function takes more than one positional argument is called in place, as
    ``errback(request, exc, traceback)``; any other is sent with the id of the failed task as its argument.
    """
    for raw in request.errbacks or ():
        if is_called_in_place(app, raw):
            call_in_place(app, raw, request, exc, traceback)
        else:
            errback = _signature(app, raw)
            errback.apply_async((request.id,), parent_id=request.id, root_id=request.root_id)


def is_called_in_place(app: AppLike, errback: Mapping[str, Any]) -> bool:
    """An errback is registered here, and takes more than the id of the failed task."""
    task = app.tasks.get(errback["task"]) if errback.get("subtask_type") is None else None
    return task is not None and bool(task.accepts_failure_arguments)


def call_in_place(
    app: AppLike, raw: Mapping[str, Any], request: Context, exc: BaseException, traceback: str | None
) -> None:
    """Call an errback. One that fails is logged: the others still run, and the task's state stands."""
    errback = _signature(app, raw)
    args = tuple(errback.args or ())
    lead = () if errback.immutable else (request, exc, traceback)
    try:
        app.tasks[errback.task](*lead, *args, **(errback.kwargs or {}))
    except Exception:
        logger.error("Errback %s of task %s raised:\n%s", errback.task, request.id, ExceptionInfo())


def failed_rest(app: AppLike, chain: Any, exc: BaseException, traceback: str | None) -> list[ResultRecord]:
    """Records for the steps of a chain that will not run, for which somebody may be waiting.

    Args:
        app: The application.
        chain: The rest of the chain, as the message of a step carries it.
        exc: Exception of the step that failed.
        traceback: Text of its traceback.
    """
    return [failed(options, exc, traceback) for options in leaves(app, chain) if not options.get("ignore_result")]


def leaves(app: AppLike, chain: Any) -> Iterator[Mapping[str, Any]]:
    """Options of the frozen tasks in the rest of a chain, those of workflows in it included.

    Of a chord they are those of its body, on which everything after it depends.
    """
    steps = list(chain or ())
    if not steps:
        return
    from celeriac.canvas import graphs

    while steps:
        step = steps.pop()
        if isinstance(step, Mapping) and graphs.is_reference(step):
            try:
                steps += _patiently_read(app, step["kwargs"]["graph"])
                continue
            except (GraphMissing, NotImplementedError, SerializationError) as exc:
                logger.error("Of the steps that cannot run, only the last is marked as failed: %s", exc)
        yield from _leaves(app, step)


def _leaves(app: AppLike, step: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(step, Mapping):
        return
    kwargs = step.get("kwargs") or {}
    kind, options = step.get("subtask_type"), step.get("options") or {}
    if kind in ("chain", "group"):
        for part in kwargs.get("tasks") or ():
            yield from _leaves(app, part)
    elif kind == "chord":
        yield from leaves(app, [kwargs.get("body")])
    elif isinstance(options.get("task_id"), str):
        yield options
    yield from leaves(app, options.get("chain"))


def failed(options: Mapping[str, Any], exc: BaseException, traceback: str | None) -> ResultRecord:
    """The record of a frozen task that will not run.

    Args:
        options: Its options.
        exc: Why.
        traceback: Text of the traceback.
    """
    task_id = options["task_id"]
    record = ResultRecord(task_id, states.FAILURE, exc, traceback, [], utcnow_iso(), options.get("group_id"))
    record.reply_to, record.correlation_id = options.get("reply_to"), task_id
    return record


def as_list(value: Any) -> list[Any]:
    """What ``link`` and ``link_error`` hold: one signature, several, or none."""
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def inherited_priority(app: AppLike, request: Context) -> int | None:
    """The priority that tasks sent by a request are to have, if they are to have its."""
    if not app.conf.task_inherit_parent_priority:
        return None
    priority: int | None = (request.delivery_info or {}).get("priority")
    return priority
