"""The options of a call, merged and resolved: `TaskOptions` is all that sending still has to look at.

It is made once per task for calls without options, and once per call otherwise.  It neither encodes nor publishes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.broker.topology import Queue
from celeriac.exceptions import ImproperlyConfigured
from celeriac.protocol import MessageTemplate, header_template, new_form
from celeriac.serialization.compression import compression_type
from celeriac.utils.suggest import closest

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.app.publisher import Publisher, RetryPolicy
    from celeriac.message import Destination, Once

__all__ = [
    "EXECUTION_OPTIONS",
    "PLACE_OPTIONS",
    "TaskOptions",
    "placed",
    "resolve_options",
    "reused",
    "routed_template",
]

#: Task attributes that are options of every call of the task.
EXECUTION_OPTIONS = (
    "queue",
    "routing_key",
    "exchange",
    "priority",
    "expires",
    "serializer",
    "delivery_mode",
    "compression",
    "time_limit",
    "soft_time_limit",
    "immediate",
    "mandatory",
)

_UNSUPPORTED = {
    "router": "set task_routes, or give queue, exchange and routing_key",
    "immediate": "AMQP brokers have not supported it since 2013",
}
#: Options that become neither a header nor a property.
_CONSUMED = frozenset(
    {
        "queue", "exchange", "routing_key", "exchange_type", "route_name", "serializer", "compression", "priority",
        "delivery_mode", "headers", "mandatory", "reply_to", "countdown", "eta", "expires", "retries", "time_limit",
        "soft_time_limit", "group_id", "group_index", "chord", "chain", "link", "link_error", "root_id", "parent_id",
        "shadow", "ignore_result", "argsrepr", "kwargsrepr", "replaced_task_nesting", "stamped_headers", "stamps",
        "timeout", "confirm_timeout", "retry", "retry_policy", "declare", "add_to_parent", "task_type", "result_cls",
        "task_id", "correlation_id", "origin", "content_type", "content_encoding", "taskset_id", "once",
        "producer", "publisher", "connection",
    }
)  # fmt: skip
#: Properties of AMQP that a caller may set.
_PROPERTIES = frozenset({"message_id", "timestamp", "type", "user_id", "app_id", "cluster_id", "expiration"})
_DELIVERY_MODES = {"transient": 1, "persistent": 2, "1": 1, "2": 2}
_COUNTDOWN_MIN = -(1 << 31)


class TaskOptions(NamedTuple):
    """Everything about a call but its arguments and its id.

    Attributes:
        name: Name of the task.
        template: What its message is made from.
        destination: Where it goes; None asks the routers for each call.
        route_name: Name that routers see.
        not_before: Unix time in seconds before which it must not run.
        ignore_result: Its result is not kept.
        reply_to: Given by the caller; None asks the result backend.
        root_id: Given by the caller.
        parent_id: Given by the caller.
        inherit_priority: Without a priority of its own it gets that of the calling task.
        add_to_parent: The calling task records it as a child.
        mandatory: An unroutable message is an error.
        timeout: Seconds for publishing; None is the app's.
        retry: Retry publishing; None is the app's choice.
        retry_policy: Replaces the app's.
        given: The merged options it was made from.
        result_cls: Class of the result; None is the app's.
        declare: Queues to declare instead of the one it goes to.
        once: See `celeriac.message.Publication`.
        publisher: What publishes it; None is the app's.
        reusable: It says nothing about the present moment, and may serve every call.
    """

    name: str
    template: MessageTemplate
    destination: Destination | None
    route_name: str
    not_before: float | None
    ignore_result: bool
    reply_to: str | None
    root_id: str | None
    parent_id: str | None
    inherit_priority: bool
    add_to_parent: bool
    mandatory: bool
    timeout: float | None
    retry: bool | None
    retry_policy: RetryPolicy | None
    given: Mapping[str, Any]
    result_cls: Any = None
    declare: tuple[Queue, ...] = ()
    once: Once | None = None
    publisher: Publisher | None = None
    reusable: bool = True


def resolve_options(app: Celery, name: str, task: Any, options: Mapping[str, Any]) -> TaskOptions:
    """Resolve merged options against the settings.

    Args:
        app: The application.
        name: Name of the task.
        task: The task when it is registered here, else None.
        options: Options of the call over those of the task.

    Raises:
        ImproperlyConfigured: An option is not supported, or has an unusable value.
        TypeError: An option has the wrong type, or its name is a slip of an option's.
        ValueError: ``soft_time_limit`` exceeds ``time_limit``, or ``countdown`` is out of range.
        QueueNotFound: The queue is unknown and may not be created.
    """
    _check_supported(name, options)
    options = {key: value for key, value in options.items() if value is not None}
    conf = app.conf
    router = app.router
    route_name = options.get("route_name") or name
    routed: Mapping[str, Any] | None = router.route(options, route_name, task=task) if router.is_static else None
    merged = options if routed is None else routed
    now = app.now()
    eta, not_before = _eta(options, now)
    expires, expiration = _expires(options.get("expires"), now)
    ignore = options.get("ignore_result")
    if ignore is None and task is not None:
        ignore = task.plan.ignore_result
    priority = merged.get("priority")
    inherit = priority is None and bool(conf.task_inherit_parent_priority)
    if priority is None:
        priority = conf.task_default_priority
    policy = options.get("retry_policy")
    via = options.get("producer") or options.get("publisher") or options.get("connection")
    headers = _headers(app, name, options, eta=eta, expires=expires, ignore_result=ignore)
    properties = _properties(merged, conf, expiration, priority)
    template = _template(app, name, task, merged, headers, properties)
    return TaskOptions(
        name=name,
        template=template,
        destination=None if routed is None else router.destination(routed),
        route_name=route_name,
        not_before=not_before,
        ignore_result=bool(ignore),
        reply_to=options.get("reply_to"),
        root_id=options.get("root_id"),
        parent_id=options.get("parent_id"),
        inherit_priority=inherit,
        add_to_parent=options.get("add_to_parent", True),
        mandatory=bool(merged.get("mandatory", False)),
        timeout=options.get("timeout", options.get("confirm_timeout")),
        retry=options.get("retry"),
        retry_policy=None if policy is None else app.publisher.merged_policy(policy),
        given=options,
        result_cls=options.get("result_cls"),
        declare=router.to_declare(merged.get("declare", ())),
        once=options.get("once"),
        publisher=None if via is None else app.publisher.through(via),
        reusable=not_before is None and expires is None and via is None and "once" not in options,
    )


#: Options that only say where a call stands in a workflow.
PLACE_OPTIONS = frozenset(
    {"task_id", "reply_to", "group_id", "group_index", "root_id", "parent_id", "chain", "chord", "add_to_parent"}
)


def placed(base: TaskOptions, options: Mapping[str, Any]) -> TaskOptions:
    """What `resolve_options` would make of ``options``, which are all `PLACE_OPTIONS`, over those of ``base``.

    Args:
        base: Resolved options of a task without any of its call.
        options: Options of the call; none of them is None.
    """
    template = base.template
    headers, embed = template.headers, template.embed
    if "group_id" in options or "group_index" in options:
        headers = {**headers, "group": options.get("group_id"), "group_index": options.get("group_index")}
    if "chain" in options or "chord" in options:
        embed = {**embed, "chain": options.get("chain"), "chord": options.get("chord")}
    return base._replace(
        template=template._replace(headers=headers, embed=embed),
        reply_to=options.get("reply_to"),
        root_id=options.get("root_id"),
        parent_id=options.get("parent_id"),
        add_to_parent=options.get("add_to_parent", True),
        given={**base.given, **options},
    )


def reused(options: TaskOptions) -> TaskOptions:
    """The same options, for many calls: brokers then write once what all their messages have in common."""
    template = options.template
    return options._replace(template=template._replace(form=new_form(template)))


def routed_template(app: Celery, options: TaskOptions, routed: Mapping[str, Any], task: Any) -> MessageTemplate:
    """The template of one call after routers that had to see its arguments.

    Args:
        app: The application.
        options: Resolved options of the call.
        routed: What the router made of them.
        task: The task, when it is registered.
    """
    own = options.template
    priority = routed.get("priority", app.conf.task_default_priority)
    properties = _properties(routed, app.conf, own.properties.get("expiration"), priority)
    return _template(app, options.name, task, routed, own.headers, properties)


def _check_supported(name: str, options: Mapping[str, Any]) -> None:
    for key, reason in _UNSUPPORTED.items():
        if options.get(key):
            raise ImproperlyConfigured(f"The option {key}={options[key]!r} is not supported: {reason}")
    queue = options.get("queue")
    if queue is not None and not isinstance(queue, str | Queue):
        raise TypeError(f"The option queue of task {name!r} must be a name or a Queue, got {queue!r}")
    for key in options:
        # Other names become properties of the message, as in Celery.
        if key not in _CONSUMED and key not in _UNSUPPORTED and key not in _PROPERTIES:
            _check_spelling(name, key, options)


def _check_spelling(name: str, key: str, options: Mapping[str, Any]) -> None:
    if key in (options.get("stamped_headers") or ()):
        return
    meant = closest(key, (*_CONSUMED, *_PROPERTIES))
    if meant is not None:
        raise TypeError(f"A call of task {name!r} has the unknown option {key}={options[key]!r}; did you mean {meant}?")


def check_limits(name: str, options: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The hard and the soft time limit of a task or a call.

    Raises:
        TypeError: One is no number of seconds.
        ValueError: One is negative, or the soft one exceeds the hard one.
    """
    for key in ("time_limit", "soft_time_limit"):
        value = options.get(key)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise TypeError(f"{key} of task {name!r} must be a number of seconds, got {value!r}")
        if value is not None and value < 0:
            raise ValueError(f"{key} of task {name!r} is {value!r}: a limit is not negative")
    hard, soft = options.get("time_limit"), options.get("soft_time_limit")
    if hard is not None and soft is not None and soft > hard:
        raise ValueError(f"soft_time_limit {soft!r} of task {name!r} must not exceed its time_limit {hard!r}")
    return hard, soft


def _headers(app: Celery, name: str, options: Mapping[str, Any], **computed: Any) -> dict[str, Any]:
    hard, soft = check_limits(name, options)
    stamped = options.get("stamped_headers")
    stamps = options.get("stamps") or {key: _plain(options[key]) for key in stamped or () if key in options}
    headers = header_template(
        name,
        shadow=options.get("shadow"),
        group=options.get("group_id"),
        group_index=options.get("group_index"),
        retries=options.get("retries", 0),
        timelimit=[hard, soft],
        argsrepr=options.get("argsrepr"),
        kwargsrepr=options.get("kwargsrepr"),
        replaced_task_nesting=options.get("replaced_task_nesting", 0),
        stamped_headers=stamped,
        stamps=stamps,
        **computed,
    )
    custom = options.get("headers")
    if custom:
        if not isinstance(custom, Mapping):
            raise TypeError(f"The option headers of task {name!r} must be a mapping, got {type(custom).__name__}")
        headers.update(custom)
    return headers


def _plain(value: Any) -> Any:
    """A stamp as a header: JSON has no sets."""
    return list(value) if isinstance(value, set | frozenset) else value


def _properties(options: Mapping[str, Any], conf: Any, expiration: str | None, priority: Any) -> dict[str, Any]:
    queue = options.get("queue")
    exchange = getattr(queue, "exchange", None)
    mode = options.get("delivery_mode") or getattr(exchange, "delivery_mode", None) or conf.task_default_delivery_mode
    properties: dict[str, Any] = {
        "correlation_id": None,
        "reply_to": None,
        "delivery_mode": _DELIVERY_MODES.get(mode, mode) if isinstance(mode, str) else mode,
    }
    if properties["delivery_mode"] not in (1, 2):
        raise ImproperlyConfigured(f"delivery_mode must be 1, 2, 'transient' or 'persistent', got {mode!r}")
    if priority is not None:
        try:
            properties["priority"] = int(priority)
        except (TypeError, ValueError):
            raise ValueError(f"The option priority must be a whole number, got {priority!r}") from None
    if expiration is not None:
        properties["expiration"] = expiration
    stamped = options.get("stamped_headers") or ()
    properties.update(
        (key, value)
        for key, value in options.items()
        if key not in _CONSUMED and key not in _UNSUPPORTED and key not in stamped
    )
    return properties


def _template(
    app: Celery,
    name: str,
    task: Any,
    options: Mapping[str, Any],
    headers: dict[str, Any],
    properties: dict[str, Any],
) -> MessageTemplate:
    conf = app.conf
    serializer = app.serializers.by_name(options.get("serializer") or conf.task_serializer)
    compression = options.get("compression") or conf.task_compression
    if compression:
        compression_type(compression)
    if conf.task_protocol not in (1, 2):
        raise ImproperlyConfigured(f"task_protocol must be 1 or 2, got {conf.task_protocol!r}")
    return MessageTemplate(
        headers=headers,
        properties=properties,
        embed={
            "callbacks": _signatures(options.get("link")),
            "errbacks": _signatures(options.get("link_error")),
            "chain": options.get("chain"),
            "chord": options.get("chord"),
        },
        dumps=serializer.dumps,
        content_type=serializer.content_type,
        content_encoding=serializer.content_encoding,
        compression=compression or None,
        version=conf.task_protocol,
        repr_levels=conf.task_repr_maxlevels,
    )


def _signatures(value: Any) -> list[Any] | None:
    """What ``link`` and ``link_error`` take: one signature or several."""
    if not value:
        return None
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        return [value]
    return list(value)


def _eta(options: Mapping[str, Any], now: datetime) -> tuple[str | None, float | None]:
    """The header ``eta`` and the Unix time it means."""
    countdown = options.get("countdown")
    if countdown:
        if isinstance(countdown, timedelta):
            countdown = countdown.total_seconds()
        if not isinstance(countdown, int | float):
            raise TypeError(f"The option countdown must be a number of seconds or a timedelta, got {countdown!r}")
        if countdown < _COUNTDOWN_MIN:
            raise ValueError(f"The countdown {countdown!r} is out of range: the least is {_COUNTDOWN_MIN} seconds")
        moment = now + timedelta(seconds=countdown)
        return moment.isoformat(), moment.timestamp()
    eta = options.get("eta")
    if eta is None:
        return None, None
    moment = _moment("eta", eta)
    return (eta if isinstance(eta, str) else eta.isoformat()), _aware(moment).timestamp()


def _expires(expires: Any, now: datetime) -> tuple[str | None, str | None]:
    """The header ``expires`` and the property ``expiration``, a string of milliseconds."""
    if expires is None:
        return None, None
    if isinstance(expires, int | float):
        expires = timedelta(seconds=expires)
    if isinstance(expires, timedelta):
        expires = now + expires
    left = (_aware(_moment("expires", expires)) - now).total_seconds()
    if left < 0:
        warnings.warn(
            f"The option expires is {-left:g} s in the past: the task will be discarded, not run",
            RuntimeWarning,
            stacklevel=2,
        )
        left = 0
    return (expires if isinstance(expires, str) else expires.isoformat()), str(round(left * 1000))


def _moment(option: str, value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"The option {option} must be a datetime or an ISO 8601 string, got {value!r}")


def _aware(moment: datetime) -> datetime:
    """A worker reads a naive time as UTC, so the client does."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
