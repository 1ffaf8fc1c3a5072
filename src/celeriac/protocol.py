"""Task messages: protocol 2 written and read, protocol 1 read (and written on request).  It sends nothing.

The formats are those of Celery: header names and order, the body triple ``[args, kwargs, embed]``, and the body
mapping of protocol 1 (https://docs.celeryq.dev/en/stable/internals/protocol.html).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.exceptions import DecodeError, EncodeError, InvalidTaskError
from celeriac.message import Message, MessageForm
from celeriac.serialization.compression import compress, decompress
from celeriac.utils.saferepr import saferepr

if TYPE_CHECKING:
    from celeriac.serialization import SerializerRegistry
    from celeriac.typing import Headers, Properties

__all__ = [
    "EMBED_KEYS",
    "MessageTemplate",
    "decode_payload",
    "encode_task",
    "header_template",
    "new_form",
    "normalize",
]

EMBED_KEYS = ("callbacks", "errbacks", "chain", "chord")

#: How protocol 1 spells the headers of protocol 2 that it shares with it.
_V1_FIELDS = ("task", "id", "group_index", "retries", "eta", "expires", "timelimit")
_REPR_LENGTH = 1024
#: Headers that differ between calls with the same options, in wire order.
_OF_EACH_CALL = ("id", "group", "group_index", "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin")


class MessageTemplate(NamedTuple):
    """What all messages of one task with the same options share.

    Attributes:
        headers: Every header of protocol 2 in wire order; those of one call hold placeholders.
        properties: Message properties but ``correlation_id`` and ``reply_to``.
        embed: ``callbacks``, ``errbacks``, ``chain`` and ``chord``.
        dumps: Encoder of the body.
        content_type: MIME type it writes.
        content_encoding: ``utf-8`` or ``binary``.
        compression: Name of the compression of the body, or None.
        version: 1 or 2.
        repr_levels: Depth of ``argsrepr`` and ``kwargsrepr`` (``task_repr_maxlevels``).
        form: What their messages have in common, for a template of many calls; see `new_form`.
    """

    headers: Headers
    properties: Properties
    embed: dict[str, Any]
    dumps: Callable[[Any], bytes]
    content_type: str
    content_encoding: str
    compression: str | None = None
    version: int = 2
    repr_levels: int = 3
    form: MessageForm | None = None


def new_form(template: MessageTemplate) -> MessageForm | None:
    """What the messages of a template, and of those that differ in the place in a workflow, have in common."""
    if template.version == 1 or template.compression is not None:
        return None
    return MessageForm(_OF_EACH_CALL, ("correlation_id", "reply_to"))


def header_template(name: str, **fields: Any) -> Headers:
    """Headers of protocol 2 in wire order, with defaults for what ``fields`` leaves out.

    Args:
        name: Name of the task.
        **fields: Values of headers.
    """
    headers: Headers = {
        "lang": "py",
        "task": name,
        "id": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": None,
        "parent_id": None,
        "argsrepr": None,
        "kwargsrepr": None,
        "origin": None,
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    headers.update(fields)
    return headers


def encode_task(
    template: MessageTemplate,
    task_id: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    origin: str,
    reply_to: str,
    root_id: str | None = None,
    parent_id: str | None = None,
    priority: int | None = None,
    before: Callable[[Headers, Any, Properties], object] | None = None,
) -> Message:
    """Make the message of one call of a task.

    Args:
        template: What it shares with other calls.
        task_id: Its id.
        args: Positional arguments.
        kwargs: Keyword arguments.
        origin: ``gen<pid>@<host>`` of the sender.
        reply_to: Where results that come as messages go.
        root_id: First task of the workflow; None is this one.
        parent_id: Task that makes the call.
        priority: Replaces the template's priority when not None.
        before: Called with headers, body and properties before the body is encoded, and may change them.

    Raises:
        EncodeError: The arguments cannot be serialized.
    """
    properties = template.properties.copy()
    properties["correlation_id"] = task_id
    properties["reply_to"] = reply_to
    if priority is not None:
        properties["priority"] = priority
    payload: Any
    if template.version == 1:
        headers, payload = _parts_of_v1(template, task_id, args, kwargs)
    else:
        headers = template.headers.copy()
        headers["id"] = task_id
        headers["root_id"] = root_id or task_id
        headers["parent_id"] = parent_id
        if headers["argsrepr"] is None:
            headers["argsrepr"] = saferepr(args, _REPR_LENGTH, template.repr_levels)
        if headers["kwargsrepr"] is None:
            headers["kwargsrepr"] = saferepr(kwargs, _REPR_LENGTH, template.repr_levels) if kwargs else "{}"
        headers["origin"] = origin
        payload = (args, kwargs, template.embed)
    if before is not None:
        before(headers, payload, properties)
    try:
        body = template.dumps(payload)
    except EncodeError as exc:
        raise _explained(exc, template) from exc.__cause__
    if template.compression is not None:
        body, headers["compression"] = compress(body, template.compression)
    form = template.form if before is None and priority is None else None
    return Message(body, template.content_type, template.content_encoding, headers, properties, form)


def _explained(exc: EncodeError, template: MessageTemplate) -> EncodeError:
    """The error in terms of the call: the payload of protocol 2 is a tuple of args, kwargs and the rest."""
    text = str(exc).replace("at value[0]", "at args", 1).replace("at value[1]", "at kwargs", 1)
    return EncodeError(f"Task {template.headers['task']!r} cannot be sent: {text}")


def _parts_of_v1(
    template: MessageTemplate, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Headers, dict[str, Any]]:
    """Headers and body of protocol 1, which has no headers of its own and carries a chain as nested callbacks."""
    fields = template.headers
    body: dict[str, Any] = {key: fields[key] for key in ("task",)}
    body["id"] = task_id
    body["args"] = list(args)
    body["kwargs"] = dict(kwargs)
    body["group"] = fields["group"]
    body.update((key, fields[key]) for key in ("group_index", "retries", "eta", "expires"))
    body["utc"] = True
    body.update((key, template.embed.get(key)) for key in ("callbacks", "errbacks"))
    body["timelimit"] = fields["timelimit"]
    body["taskset"] = fields["group"]
    body["chord"] = template.embed.get("chord")
    known = header_template("")
    return {key: value for key, value in fields.items() if key not in known}, body


def normalize(message: Message, registry: SerializerRegistry, accept: frozenset[str]) -> Message:
    """Give a received message the headers of protocol 2.

    Args:
        message: A message with headers of protocol 2 is returned as it is.
        registry: Decodes (and encodes again) the body of other messages.
        accept: MIME types that may be decoded.

    Raises:
        InvalidTaskError: It is not a task message.
        ContentDisallowed: Its content type is not accepted.
        DecodeError: Its body cannot be decoded.
    """
    if "task" in message.headers:
        if not message.headers.get("id"):
            raise InvalidTaskError(
                f"Task message for {message.headers['task']!r} has no 'id' header: the producer must set one"
            )
        return message
    body = _decompressed(message.body, message.headers)
    payload = registry.loads(body, message.content_type, message.content_encoding, accept)
    if not isinstance(payload, Mapping) or "task" not in payload:
        raise InvalidTaskError(
            f"Not a task message: it has no 'task' header, and its body is a {type(payload).__name__} "
            "without a 'task' key"
        )
    return _from_v1(message, payload, registry)


def _from_v1(message: Message, payload: Mapping[str, Any], registry: SerializerRegistry) -> Message:
    if not payload.get("id"):
        raise InvalidTaskError(f"Task message for {payload['task']!r} has no 'id' key: the producer must set one")
    args, kwargs, embed = _checked_mapping(payload)
    fields = {key: payload[key] for key in _V1_FIELDS if payload.get(key) is not None}
    if not payload.get("utc", True):
        for key in ("eta", "expires"):
            if isinstance(fields.get(key), str):
                fields[key] = _local_to_utc(key, fields[key])
    group = payload.get("taskset") or payload.get("group")
    headers = header_template(
        payload["task"],
        **{
            **fields,
            "group": group,
            "root_id": payload["id"],
            "argsrepr": saferepr(args, _REPR_LENGTH),
            "kwargsrepr": saferepr(kwargs, _REPR_LENGTH),
        },
    )
    headers.update((key, value) for key, value in message.headers.items() if key != "compression")
    body = registry.by_name(message.content_type).dumps((args, kwargs, embed))
    return Message(body, message.content_type, message.content_encoding, headers, message.properties)


def _local_to_utc(key: str, text: str) -> str:
    """Protocol 1 with ``utc`` false writes naive times in the sender's zone; they are taken to be in ours."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidTaskError(f"Task message has the invalid {key} {text!r}: not an ISO 8601 time") from exc
    return moment.astimezone(UTC).isoformat() if moment.tzinfo is None else text


def decode_payload(
    body: bytes,
    content_type: str,
    content_encoding: str,
    headers: Mapping[str, Any],
    registry: SerializerRegistry,
    accept: frozenset[str],
) -> tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any]]:
    """Decode the body of a message with protocol 2 headers.

    Args:
        body: The body, maybe compressed.
        content_type: Its MIME type.
        content_encoding: Its encoding.
        headers: Headers; ``compression`` is looked at.
        registry: Decoders.
        accept: MIME types that may be decoded.

    Returns:
        Positional arguments, keyword arguments, and what is embedded (callbacks, errbacks, chain, chord).

    Raises:
        InvalidTaskError: The payload has another shape.
        ContentDisallowed: The content type is not accepted.
        DecodeError: The bytes cannot be decoded.
    """
    if headers.get("compression"):
        body = _decompressed(body, headers)
    payload = registry.loads(body, content_type, content_encoding, accept)
    # The usual shape first, by exact type; the rest costs only those who send it.
    if (
        type(payload) in _TRIPLES
        and len(payload) == 3
        and type(payload[0]) in _TRIPLES
        and type(payload[1]) is dict
        and type(payload[2]) is dict
    ):
        if any(payload[2].values()):
            _check_embed(payload[2])
        return payload[0], payload[1], payload[2]
    if isinstance(payload, Mapping) and "args" in payload:
        return _checked_mapping(payload)
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        shape = f"{len(payload)} items" if isinstance(payload, list | tuple) else type(payload).__name__
        raise InvalidTaskError(f"Task payload must be [args, kwargs, embed], got {shape}")
    return _checked(*payload)


_TRIPLES = frozenset({list, tuple})


def _decompressed(body: bytes, headers: Mapping[str, Any]) -> bytes:
    compression = headers.get("compression")
    if not compression:
        return body
    if not isinstance(compression, str):
        raise DecodeError(f"The 'compression' header must be a MIME type, got {compression!r}")
    return decompress(body, compression)


def _checked_mapping(
    payload: Mapping[str, Any],
) -> tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any]]:
    """The same three parts of a protocol 1 body (or a hybrid: headers of 2, body of 1)."""
    args, kwargs = payload.get("args"), payload.get("kwargs")
    embed = {key: payload.get(key) for key in EMBED_KEYS}
    return _checked(() if args is None else args, {} if kwargs is None else kwargs, embed)


def _checked(args: Any, kwargs: Any, embed: Any) -> tuple[Sequence[Any], Mapping[str, Any], Mapping[str, Any]]:
    if not isinstance(args, list | tuple):
        raise InvalidTaskError(f"Task arguments must be a list or tuple, got {type(args).__name__}")
    if not isinstance(kwargs, Mapping):
        raise InvalidTaskError(f"Task keyword arguments must be a mapping, got {type(kwargs).__name__}")
    if embed is None:
        embed = dict.fromkeys(EMBED_KEYS)
    if not isinstance(embed, Mapping):
        raise InvalidTaskError(f"The embedded part of a task payload must be a mapping, got {type(embed).__name__}")
    _check_embed(embed)
    return args, kwargs, embed


def _check_embed(embed: Mapping[str, Any]) -> None:
    """Make sure that what follows the task can be gone through, before the task runs."""
    for key in ("callbacks", "errbacks", "chain"):
        steps = embed.get(key)
        if steps is not None and not (
            isinstance(steps, list | tuple) and all(isinstance(each, Mapping) for each in steps)
        ):
            raise InvalidTaskError(f"{key} embedded in a task payload must be a list of signatures, got {steps!r:.200}")
