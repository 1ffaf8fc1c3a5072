"""Calls that run in place: `Task.apply`, and `apply_async` under ``task_always_eager``.

The run itself is `celeriac.execution`'s, the same as in a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.app.process import current as process
from celeriac.current import Context, get_current_worker_request
from celeriac.exceptions import Retry
from celeriac.execution.execute import run_eager
from celeriac.result import EagerResult, denied_join_result
from celeriac.utils.nodenames import gethostname
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.app.task import Task

__all__ = ["apply_as_if_sent", "apply_here"]


def apply_as_if_sent(
    task: Task[..., Any], args: Any, kwargs: Any, task_id: str | None, options: Mapping[str, Any]
) -> EagerResult[Any]:
    """Run a call that would have been sent; its arguments pass through the serializer, as they would.

    Waiting for results is denied meanwhile, since it would be in a worker.
    """
    app = task.app
    serializer = app.serializers.by_name(options.get("serializer") or app.conf.task_serializer)
    body = serializer.dumps((args, kwargs))
    accept = frozenset({serializer.content_type})
    args, kwargs = app.serializers.loads(body, serializer.content_type, serializer.content_encoding, accept)
    with denied_join_result():
        return apply_here(task, args, kwargs, task_id, retries=options.get("retries", 0), throw=None, options=options)


def apply_here(
    task: Task[..., Any],
    args: Any,
    kwargs: Any,
    task_id: str | None,
    *,
    retries: int,
    throw: bool | None,
    options: Mapping[str, Any],
) -> EagerResult[Any]:
    """Run a task in place until it is neither waiting for a retry nor a link.

    Args:
        task: The task.
        args: Positional arguments.
        kwargs: Keyword arguments.
        task_id: Its id; None makes one.
        retries: Retries so far.
        throw: Raise its exception; None is ``task_eager_propagates``.
        options: Options of the call.
    """
    app = task.app
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    task_id = task_id or uuid4()
    throw = app.conf.task_eager_propagates if throw is None else throw
    request = _request(task, task_id, args, kwargs, retries, options)
    outcome = run_eager(app, task, request, args, kwargs)
    value = outcome.retval
    if isinstance(value, Retry) and value.sig is not None:
        return value.sig.apply(task_id=task_id, retries=retries + 1, throw=throw)  # type: ignore[no-any-return]
    if throw and outcome.state in states.PROPAGATE_STATES and isinstance(value, BaseException):
        raise value
    return EagerResult(task_id, value, outcome.state, outcome.traceback, name=task.name)


def _request(
    task: Task[..., Any],
    task_id: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    retries: int,
    options: Mapping[str, Any],
) -> Context:
    parent = get_current_worker_request()
    stamped = options.get("stamped_headers")
    request = Context(
        id=task_id,
        task=task.name,
        args=args,
        kwargs=kwargs,
        retries=retries,
        is_eager=True,
        called_directly=False,
        logfile=options.get("logfile"),
        loglevel=options.get("loglevel") or 0,
        hostname=gethostname(),
        origin=process.origin,
        callbacks=_as_list(options.get("link")),
        errbacks=_as_list(options.get("link_error")),
        chain=options.get("chain"),
        chord=options.get("chord"),
        headers=options.get("headers"),
        ignore_result=options.get("ignore_result", False),
        group=options.get("group_id"),
        group_index=options.get("group_index"),
        shadow=options.get("shadow"),
        root_id=options.get("root_id") or (parent and parent.root_id) or task_id,
        parent_id=options.get("parent_id") or (parent and parent.id),
        replaced_task_nesting=options.get("replaced_task_nesting", 0),
        stamped_headers=stamped,
        stamps={key: _as_stamp(options[key]) for key in stamped if key in options} if stamped else None,
        delivery_info={
            "is_eager": True,
            "exchange": options.get("exchange"),
            "routing_key": options.get("routing_key"),
            "priority": options.get("priority"),
        },
    )
    custom = options.get("headers")
    if custom:
        request.update({key: value for key, value in custom.items() if key not in vars(request)})
    return request


def _as_list(value: Any) -> list[Any] | None:
    if not value:
        return None
    return list(value) if isinstance(value, list | tuple) else [value]


def _as_stamp(value: Any) -> list[Any]:
    """As Celery shows stamps in eager mode."""
    return list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
