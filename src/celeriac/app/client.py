"""Sending one call: from arguments and resolved options to a published message and its result.

The straight line of ``delay()``.  Options are merged before it; retries and deadlines are the publisher's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.app.options import routed_template
from celeriac.app.process import current as process
from celeriac.current import get_current_task, get_current_worker_request
from celeriac.message import Publication
from celeriac.protocol import encode_task
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.app.base import Celery
    from celeriac.app.options import TaskOptions
    from celeriac.message import Destination

__all__ = ["add_to_parent", "announce_published", "prepare", "send"]


def send(
    app: Celery,
    options: TaskOptions,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    task_id: str | None = None,
    task: Any = None,
) -> Any:
    """Publish one call; returns its `AsyncResult`.

    Args:
        app: The application.
        options: Resolved options.
        args: Positional arguments.
        kwargs: Keyword arguments.
        task_id: Its id; None makes one.
        task: The task, when it is registered here.

    Raises:
        EncodeError: The arguments cannot be serialized.
        OperationalError: The broker did not accept the message before the deadline.
    """
    if task_id is None:
        task_id = uuid4()
    parent = get_current_worker_request()
    ignored = options.ignore_result
    reply_to = options.reply_to
    if not ignored and not reply_to:
        reply_to = app.backend.expect((task_id,))
    publication = prepare(app, options, args, kwargs, task_id, reply_to or app.sessions.oid, parent, task)
    (options.publisher or app.publisher).publish_many(
        (publication,),
        timeout=options.timeout, retry=options.retry, retry_policy=options.retry_policy, declare=options.declare,
    )  # fmt: skip
    if signals.after_task_publish.receivers or signals.task_sent.receivers:
        announce_published(options, args, kwargs, task_id, publication)
    result = (options.result_cls or app.AsyncResult)(task_id)
    if ignored:
        result.ignored = True
    if parent is not None and options.add_to_parent:
        add_to_parent(parent, result)
    return result


def prepare(
    app: Celery,
    options: TaskOptions,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    task_id: str,
    reply_to: str,
    parent: Any,
    task: Any,
) -> Publication:
    """Encode and route one call."""
    root_id, parent_id, priority = options.root_id, options.parent_id, None
    if parent is not None:
        root_id = root_id or parent.root_id or parent.id
        parent_id = parent_id or parent.id
        if options.inherit_priority:
            priority = (parent.delivery_info or {}).get("priority")
    template, destination = options.template, options.destination
    if destination is None:
        router = app.router
        routed = router.route(options.given, options.route_name, args, kwargs, task)
        destination = router.destination(routed)
        template = routed_template(app, options, routed, task)
    before = _before(options, destination) if signals.before_task_publish.receivers else None
    message = encode_task(
        template, task_id, args, kwargs,
        origin=process.origin, reply_to=reply_to, root_id=root_id, parent_id=parent_id, priority=priority,
        before=before,
    )  # fmt: skip
    return Publication(message, destination, options.not_before, options.mandatory, True, options.once)


def _before(options: TaskOptions, destination: Destination) -> Any:
    """Let receivers of `before_task_publish` change headers, properties and body before it is encoded."""

    def announce(headers: dict[str, Any], body: Any, properties: dict[str, Any]) -> None:
        signals.before_task_publish.send(
            sender=options.name,
            body=body,
            exchange=destination.exchange,
            routing_key=destination.routing_key,
            headers=headers,
            properties=properties,
            declare=[destination.queue] if destination.queue is not None else list(options.declare),
            retry_policy=options.retry_policy,
        )

    return announce


def announce_published(
    options: TaskOptions, args: Sequence[Any], kwargs: Mapping[str, Any], task_id: str, publication: Publication
) -> None:
    """Send the signals that follow a publish."""
    message, destination = publication.message, publication.destination
    signals.after_task_publish.send(
        sender=options.name,
        body=(args, kwargs, options.template.embed),
        exchange=destination.exchange,
        routing_key=destination.routing_key,
        headers=message.headers,
    )
    signals.task_sent.send(
        sender=options.name,
        task_id=task_id,
        task=options.name,
        args=args,
        kwargs=kwargs,
        eta=options.template.headers["eta"],
        taskset=options.template.headers["group"],
    )


def add_to_parent(parent: Any, result: Any) -> None:
    """Record the result with the task that made the call, unless that task keeps no trail."""
    task = get_current_task()
    if task is None or task.trail:
        parent.children.append(result)
