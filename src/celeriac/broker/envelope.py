"""The envelope of kombu's virtual transports (Redis, SQS, ...): a message as JSON, its body in base64.

Does no I/O.  The wire rules were observed on kombu 5.7.0.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.message import Message, MessageForm
from celeriac.serialization.json_types import dumps as dumps_json
from celeriac.serialization.json_types import loads as loads_json
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

#: Under what a form of messages keeps the text of its envelopes.
_FORM = "envelope"
#: Properties that the envelope has for itself; they are no properties of the message.
_OWN_PROPERTIES = frozenset({"delivery_info", "delivery_tag", "body_encoding"})


class TagSource:
    """Delivery tags in the form of UUIDs: a random part for the source, and a count."""

    __slots__ = ("_count", "_head")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        text = uuid4()
        self._head, self._count = text[:24], int(text[24:], 16) >> 1

    def next(self) -> str:
        """A tag that no other source makes."""
        self._count += 1
        return f"{self._head}{self._count:012x}"


@lru_cache(maxsize=256)
def _content(content_encoding: str, content_type: str) -> bytes:
    """What stands between the body and the headers."""
    quote = encode_basestring_ascii
    return (
        f'", "content-encoding": {quote(content_encoding)}, "content-type": {quote(content_type)}, "headers": '
    ).encode("ascii")


@lru_cache(maxsize=1024)
def _routing(exchange: str, routing_key: str, delivery_mode: Any, priority: Any) -> str:
    """What stands between the properties of the message and the tag."""
    quote = encode_basestring_ascii
    return (
        f'"delivery_mode": {int(delivery_mode)}, "delivery_info": {{"exchange": {quote(exchange)}, "routing_key": '
        f'{quote(routing_key)}}}, "priority": {int(priority)}, "body_encoding": "base64", "delivery_tag": "'
    )


class _Written(NamedTuple):
    """An envelope with ``%s`` for what differs between the messages of a form: body, values and tag."""

    text: str
    headers: Callable[[Any], tuple[Any, ...]]
    properties: Callable[[Any], tuple[Any, ...]]


def encode_envelope(message: Message, exchange: str, routing_key: str, tag: str) -> bytes:
    """What kombu pushes: the message as JSON, its body in base64.

    Raises:
        TypeError: A header or property is not JSON.
    """
    form = message.form
    if form is None:
        return _write(message, exchange, routing_key, tag)
    key = (_FORM, exchange, routing_key)
    written = form.written.get(key)
    if written is None:
        written = form.written[key] = _write_form(form, message, exchange, routing_key)
    text, headers, properties = written
    quote = encode_basestring_ascii
    values = [
        quote(value) if type(value) is str else "null" if value is None else dumps_json(value).decode("ascii")
        for value in headers(message.headers) + properties(message.properties)
    ]
    return (text % (b2a_base64(message.body, newline=False).decode("ascii"), *values, tag)).encode("ascii")


def _write_form(form: MessageForm, message: Message, exchange: str, routing_key: str) -> _Written:
    """Write a message with marks where messages of its form differ."""
    mark = uuid4()
    headers = {**message.headers, **dict.fromkeys(form.headers, mark)}
    properties = {**message.properties, **dict.fromkeys(form.properties, mark)}
    example = Message(b"", message.content_type, message.content_encoding, headers, properties)
    text = _write(example, exchange, routing_key, mark).decode("ascii").replace("%", "%%")
    tagless, _, end = text.replace(f'"{mark}"', "%s", len(form.headers) + len(form.properties)).partition(mark)
    start = '{"body": "'
    return _Written(
        f"{start}%s{tagless.removeprefix(start)}%s{end}", itemgetter(*form.headers), itemgetter(*form.properties)
    )


def _write(message: Message, exchange: str, routing_key: str, tag: str) -> bytes:
    quote = encode_basestring_ascii
    text = ""
    delivery_mode, priority, expiration = 2, 0, None
    for name, value in message.properties.items():
        if value is None:
            continue
        if name == "delivery_mode":
            delivery_mode = value
        elif name == "priority":
            priority = value
        elif name == "expiration":
            expiration = value
        elif name in _OWN_PROPERTIES:
            continue
        elif type(value) is str:
            text += f"{quote(name)}: {quote(value)}, "
        else:
            text += f"{quote(name)}: {dumps_json(value).decode('ascii')}, "
    routing = _routing(exchange, routing_key, delivery_mode, priority)
    if expiration is not None:
        mode, _, rest = routing.partition(", ")
        routing = f'{mode}, "expiration": {dumps_json(expiration).decode("ascii")}, {rest}'
    text = f', "properties": {{{text}{routing}{tag}"}}}}'
    return b"".join(
        (
            b'{"body": "',
            b2a_base64(message.body, newline=False),
            _content(message.content_encoding, message.content_type),
            dumps_json(message.headers),
            text.encode("ascii"),
        )
    )


def with_eta(raw: bytes, due: float) -> bytes:
    """An envelope with the header ``eta``, by which Celery's workers hold a message; as it is when it has one.

    Args:
        raw: The envelope; what cannot be read is returned as it is.
        due: Unix time.
    """
    try:
        envelope = loads_json(raw)
        headers = envelope["headers"]
        if headers.get("eta") is None:
            headers["eta"] = datetime.fromtimestamp(due, UTC).isoformat()
            return dumps_json(envelope)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, OverflowError):
        pass
    return raw


class MalformedEnvelope(ValueError):
    """An envelope cannot be read; the text says why."""


def decode_envelope(raw: bytes) -> tuple[Message, str, str, bool]:
    """Read what kombu, or any producer of its format, pushed.

    Returns:
        The message, its exchange and routing key, and whether it is marked as redelivered.

    Raises:
        MalformedEnvelope: It cannot be read.
    """
    try:
        envelope = loads_json(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedEnvelope(f"the envelope is not JSON: {error}") from None
    try:
        properties = envelope["properties"]
        info = properties.pop("delivery_info", None) or {}
        body, headers = envelope["body"], envelope.get("headers") or {}
        content_type = envelope.get("content-type") or "application/data"
        content_encoding = envelope.get("content-encoding") or "utf-8"
        properties.pop("delivery_tag", None)
        is_base64 = properties.pop("body_encoding", None) == "base64"
        data = a2b_base64(body) if is_base64 else body.encode(content_encoding)
        redelivered = bool(info.get("redelivered") or headers.get("redelivered"))
        if type(content_type) is not str or type(content_encoding) is not str:
            raise TypeError("content-type and content-encoding have to be text")
        message = Message(data, content_type, content_encoding, headers, properties)
        return message, str(info.get("exchange") or ""), str(info.get("routing_key") or ""), redelivered
    except KeyError as error:
        raise MalformedEnvelope(f"the envelope has no {error}") from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise MalformedEnvelope(f"the envelope has a part of the wrong type: {error}") from None
