"""What is told of a task that has ended: its handlers, signals, errbacks, events and the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.exceptions import Reject
from celeriac.execution import follow_up
from celeriac.execution.calling import complete
from celeriac.execution.job import FAILED, IGNORED, REJECTED, REQUEUED, RETRIED, SUCCEEDED
from celeriac.utils.saferepr import saferepr

if TYPE_CHECKING:
    from celeriac.current import AppLike
    from celeriac.execution.calling import Execution

logger = logging.getLogger("celeriac.app.trace")


def needs_stored_result(run: Execution) -> bool:
    """Someone may read the result before the next flush: a handler, a signal receiver, an errback."""
    plan = run.task.plan
    if run.kind == SUCCEEDED:
        return bool(plan.has_on_success or plan.has_after_return or signals.task_success.receivers
                    or signals.task_postrun.receivers)  # fmt: skip
    return True


def leave(app: AppLike, run: Execution) -> None:
    """All that is told of a task that has ended."""
    if run.kind != SUCCEEDED or needs_stored_result(run):
        handle(app, run)
    if run.kind != SUCCEEDED or logger.isEnabledFor(logging.INFO):
        log_outcome(run)
    if signals.task_postrun.receivers:
        signals.task_postrun.send(
            sender=run.task, task_id=run.request.id, task=run.task, args=run.args, kwargs=run.kwargs,
            retval=run.value, state=run.state,
        )  # fmt: skip


def handle(app: AppLike, run: Execution) -> None:
    """Handlers, signals and errbacks that follow the stored result."""
    kind = run.kind
    if kind == SUCCEEDED:
        _after_success(run)
    elif kind == RETRIED:
        _after_retry(run)
    elif kind in (FAILED, REJECTED):
        _after_failure(app, run)
    if run.task.plan.has_after_return and kind in (SUCCEEDED, FAILED):
        task, request = run.task, run.request
        _guarded(run, "after_return", task.after_return,
                 run.state, run.value, request.id, run.args, run.kwargs, None)  # fmt: skip


def _after_success(run: Execution) -> None:
    task, request = run.task, run.request
    if task.plan.has_on_success:
        _guarded(run, "on_success", task.on_success, run.value, request.id, run.args, run.kwargs)
    if signals.task_success.receivers:
        signals.task_success.send(sender=task, result=run.value, runtime=run.runtime)


def _after_retry(run: Execution) -> None:
    task, request, reason = run.task, run.request, run.value
    if task.plan.has_on_retry:
        _guarded(run, "on_retry", task.on_retry, reason.exc, request.id, run.args, run.kwargs, run.einfo)
    if signals.task_retry.receivers:
        signals.task_retry.send(sender=task, request=request, reason=reason, einfo=run.einfo)


def _after_failure(app: AppLike, run: Execution) -> None:
    task, request, exc = run.task, run.request, run.value
    try:
        follow_up.publish_errbacks(app, request, exc, run.traceback)
    except Exception:
        logger.exception("Task %s[%s]: its errbacks could not be published", task.name, request.id)
    if task.plan.has_on_failure:
        _guarded(run, "on_failure", task.on_failure, exc, request.id, run.args, run.kwargs, run.einfo)
    if signals.task_failure.receivers:
        signals.task_failure.send(
            sender=task, task_id=request.id, exception=exc, args=run.args, kwargs=run.kwargs,
            traceback=exc.__traceback__, einfo=run.einfo,
        )  # fmt: skip


def _guarded(run: Execution, name: str, handler: Any, *args: Any) -> None:
    """Call a user's handler; what it raises is logged and changes nothing (eager mode raises it)."""
    try:
        complete(handler(*args))
    except (MemoryError, Reject):
        raise
    except Exception:
        if run.request.is_eager:
            raise
        logger.exception("Task %s[%s]: %s raised", run.task.name, run.request.id, name)


def log_outcome(run: Execution) -> None:
    """The lines operators know: succeeded, raised, retry, ignored, reject."""
    name, task_id = run.request.shadow or run.task.name, run.request.id
    if run.kind == SUCCEEDED:
        text = saferepr(run.value, run.task.plan.resultrepr_maxsize)
        logger.info("Task %s[%s] succeeded in %.6fs: %s", name, task_id, run.runtime, text)
    elif run.kind == FAILED:
        if isinstance(run.value, run.task.plan.throws):
            logger.info("Task %s[%s] raised expected: %r", name, task_id, run.value)
        else:
            logger.error("Task %s[%s] raised unexpected: %r\n%s", name, task_id, run.value, run.traceback)
    elif run.kind == RETRIED:
        logger.info("Task %s[%s] retry: %s", name, task_id, run.value)
    elif run.kind == IGNORED:
        logger.info("Task %s[%s] ignored", name, task_id)
    else:
        logger.info("Task %s[%s] reject requeue=%s", name, task_id, run.kind == REQUEUED)


#: Types whose values need nobody to keep their text short.
_SHORT = frozenset({type(None), bool, float})


def ending_events(run: Execution) -> list[tuple[str, Any]]:
    """What those who listen to events are told of how a run ended: types, and what `ReportedEvent` has."""
    kind, task_id = run.kind, run.request.id
    if kind == SUCCEEDED:
        value = run.value
        text = repr(value) if type(value) in _SHORT else saferepr(value, run.task.plan.resultrepr_maxsize)
        return [("task-succeeded", (task_id, text, run.runtime))]
    failure = {"uuid": task_id, "exception": describe_end(run), "traceback": run.traceback}
    if kind == RETRIED:
        if run.value.exc is not None:
            failure["exception"] = saferepr(run.value.exc)
        return [("task-retried", failure)]
    found: list[tuple[str, Any]] = []
    if kind in (REQUEUED, REJECTED):
        found.append(("task-rejected", {"uuid": task_id, "requeue": kind == REQUEUED}))
    if kind in (FAILED, REJECTED):
        found.append(("task-failed", failure))
    return found


def describe_end(run: Execution) -> str:
    """Reason of an outcome that is not a plain success."""
    try:
        return repr(run.value)
    except Exception as exc:
        return f"<{type(run.value).__name__} whose repr() raised {type(exc).__name__}>"
