"""`Task.retry`: publishing the next attempt of a running task.  When to retry is decided by the task."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

from celeriac.app.plan import body_check
from celeriac.canvas.signature import Signature
from celeriac.exceptions import MaxRetriesExceededError, Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.app.task import Task
    from celeriac.current import Context

__all__ = ["retry_task", "signature_from_request"]


def retry_task(
    task: Task[..., Any],
    args: Any,
    kwargs: Any,
    *,
    exc: BaseException | None,
    throw: bool,
    eta: Any,
    countdown: float | None,
    max_retries: int | None,
    options: Mapping[str, Any],
) -> Retry:
    """See `Task.retry`."""
    request = task.request
    if request.called_directly:
        # Nothing was received, so nothing can be sent again.
        active = sys.exc_info()[1]
        if active is not None:
            raise active
        raise exc if exc is not None else Retry("Task can be retried", None)
    if max_retries is not None:
        request.update(override_max_retries=max_retries)
    limit = task.max_retries if max_retries is None else max_retries
    if countdown is None and not eta:
        countdown = task.default_retry_delay
    retries = request.retries + 1
    if limit is not None and retries > limit:
        _give_up(task, request, exc)
    extra = {"countdown": countdown, "eta": eta, "retries": retries, "add_to_parent": False, **options}
    sig = task.signature_from_request(request, args, kwargs, **extra)
    outcome = Retry(exc=exc, when=eta or countdown, is_eager=request.is_eager, sig=sig)
    if not request.is_eager:
        publish = functools.partial(_publish, task, request, outcome)
        if request._postponed is None:
            publish()
        else:
            # On the event loop, which goes on meanwhile.
            request._postponed.append(publish)
    if throw:
        raise outcome
    return outcome


def _publish(task: Task[..., Any], request: Context, outcome: Retry) -> None:
    if request._before_retry is not None:
        request._before_retry(task, request, outcome)
    try:
        outcome.sig.apply_async()
    except Exception as failure:
        raise Reject(failure, requeue=False) from failure


def _give_up(task: Task[..., Any], request: Context, exc: BaseException | None) -> None:
    if exc is not None:
        raise exc
    raise MaxRetriesExceededError(
        f"Can't retry {task.name}[{request.id}] args:{request.args} kwargs:{request.kwargs}",
        task_args=request.args,
        task_kwargs=request.kwargs,
    )


def signature_from_request(
    task: Task[..., Any], request: Context, args: Any, kwargs: Any, queue: Any, extra: Mapping[str, Any]
) -> Signature:
    """See `Task.signature_from_request`."""
    args, kwargs = _arguments(task, request, args, kwargs)
    options = request.as_execution_options()
    options["headers"] = _own_headers(request.headers)
    options["ignore_result"] = request.ignore_result
    options.update(_place(request, queue))
    if request.stamped_headers:
        options["stamped_headers"] = request.stamped_headers
        options.update(request.stamps or {})
    options.update(extra)
    options = {key: value for key, value in options.items() if value is not None}
    return Signature(task, args, kwargs, options, app=task.app)


def _own_headers(headers: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Custom headers without those that RabbitMQ adds to dead-lettered messages."""
    if not headers:
        return None
    return {key: value for key, value in headers.items() if not key.startswith("x-death")}


def _place(request: Context, queue: Any) -> dict[str, Any]:
    """Queue and priority of the message the request came in."""
    info = request.delivery_info or {}
    place: dict[str, Any] = {}
    if info.get("priority") is not None:
        place["priority"] = info["priority"]
    if queue is not None:
        place["queue"] = queue
    elif info.get("exchange") and info.get("routing_key"):
        place.update(exchange=info["exchange"], routing_key=info["routing_key"])
    elif info.get("routing_key"):
        place["queue"] = info["routing_key"]
    return place


def _arguments(task: Task[..., Any], request: Context, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Merge new arguments with the request's: one parameter must not get two values.

    When only one kind is replaced, the other gives up the parameters that the new values bind; positional values
    behind such a parameter move to keywords.
    """
    old_args, old_kwargs = request.args or (), request.kwargs or {}
    if args is None and kwargs is None:
        return old_args, old_kwargs
    names = body_check(task).positional_names
    if kwargs is None:
        bound = set(names[: len(args)])
        return args, {key: value for key, value in old_kwargs.items() if key not in bound}
    if args is not None:
        return args, kwargs
    positions = [index for index, name in enumerate(names[: len(old_args)]) if name in kwargs]
    if not positions:
        return old_args, kwargs
    first = positions[0]
    moved = dict(zip(names[first:], old_args[first:], strict=False))
    return tuple(old_args[:first]), {**moved, **kwargs}
