"""Keys and envelopes on the wire, byte-compatible with kombu's Redis transport; and keys of our own beside them.

Does no I/O.  The wire rules were observed on kombu 5.7.0.
"""

from __future__ import annotations

import re
import uuid
from binascii import a2b_base64, b2a_base64
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Message, MessageForm
from celeriac.serialization.json_types import dumps as dumps_json
from celeriac.serialization.json_types import loads as loads_json
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_SEPARATOR = "\x06\x16"
DEFAULT_STEPS = (0, 3, 6, 9)

#: Under what a form of messages keeps the text of its envelopes.
_FORM = "redis"
#: Properties that the envelope has for itself; they are no properties of the message.
_OWN_PROPERTIES = frozenset({"delivery_info", "delivery_tag", "body_encoding"})


@dataclass(frozen=True)
class Layout:
    """Names of all keys.

    Attributes:
        prefix: ``global_keyprefix``, put before every key.
        separator: Between a queue and its priority step, and between the parts of a binding.
        steps: Priority steps; the first has no suffix and is consumed first.
        unacked_name, unacked_index_name: kombu's hash and sorted set of unacknowledged messages.
        fanout_prefix: Put before the name of a fanout exchange to make its channel.
        fanout_patterns: The routing key is part of the channel.
    """

    prefix: str = ""
    separator: str = DEFAULT_SEPARATOR
    steps: tuple[int, ...] = DEFAULT_STEPS
    unacked_name: str = "unacked"
    unacked_index_name: str = "unacked_index"
    fanout_prefix: str = "/0."
    fanout_patterns: bool = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any], *, db: int) -> Layout:
        """Read the transport options that name keys.

        Raises:
            ImproperlyConfigured: ``priority_steps`` is no list of numbers.
        """
        given = options.get("priority_steps") or DEFAULT_STEPS
        try:
            steps = tuple(sorted(int(step) for step in given))
        except (TypeError, ValueError):
            raise ImproperlyConfigured(
                f"broker_transport_options: priority_steps is {given!r}; it has to be a list of numbers"
            ) from None
        fanout = options.get("fanout_prefix", True)
        return cls(
            prefix=str(options.get("global_keyprefix") or ""),
            separator=str(options.get("sep") or DEFAULT_SEPARATOR),
            steps=steps,
            unacked_name=str(options.get("unacked_key") or "unacked"),
            unacked_index_name=str(options.get("unacked_index_key") or "unacked_index"),
            fanout_prefix=((fanout if isinstance(fanout, str) else "/{db}.").format(db=db) if fanout else ""),
            fanout_patterns=bool(options.get("fanout_patterns", True)),
        )

    # --- kombu's keys

    def suffix(self, priority: int) -> str:
        """What the list of a priority has after the name of the queue: that of the largest step not above it."""
        step = self.steps[0]
        for each in self.steps:
            if each > priority:
                break
            step = each
        return f"{self.separator}{step}" if step else ""

    @property
    def suffixes(self) -> list[str]:
        """The suffix of each step, first consumed first."""
        return [self.suffix(step) for step in self.steps]

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, first consumed first."""
        return [f"{self.prefix}{queue}{suffix}" for suffix in self.suffixes]

    @property
    def unacked(self) -> str:
        """Hash: delivery tag to ``[envelope, exchange, routing key]``."""
        return self.prefix + self.unacked_name

    @property
    def unacked_index(self) -> str:
        """Sorted set: delivery tag by Unix time of the claim."""
        return self.prefix + self.unacked_index_name

    def bindings(self, exchange: str) -> str:
        """Set of the bindings of an exchange."""
        return f"{self.prefix}_kombu.binding.{exchange}"

    def permanent_bindings(self, exchange: str) -> str:
        """Set of those of them whose queues do not expire (kombu 5.7)."""
        return f"{self.prefix}_kombu.binding_permanent.{exchange}"

    @property
    def binding_deadlines(self) -> str:
        """Sorted set: exchanges with expiring queues by Unix time in ms (kombu 5.7)."""
        return f"{self.prefix}_kombu.binding_deadlines"

    def binding(self, routing_key: str, queue: str, *, topic: bool) -> str:
        """One member of a binding set."""
        pattern = topic_regex(routing_key) if topic else ""
        return self.separator.join((routing_key, pattern, queue))

    def channel(self, exchange: str, routing_key: str) -> str:
        """The pub/sub channel of a fanout exchange."""
        channel = f"{self.prefix}{self.fanout_prefix}{exchange}"
        return f"{channel}/{routing_key}" if routing_key and self.fanout_patterns else channel

    def channel_pattern(self, exchange: str, routing_key: str) -> str:
        """The pattern that a consumer of a fanout exchange subscribes to."""
        return self.channel(exchange, routing_key.replace("#", "*"))

    # --- our own keys

    @property
    def sessions(self) -> str:
        """Sorted set: session token by the server time at which its lease runs out."""
        return f"{self.prefix}celeriac.sessions"

    @property
    def session_prefix(self) -> str:
        """Before a session's token: hash of the tags it holds to the list each came from."""
        return f"{self.prefix}celeriac.session."

    @property
    def malformed(self) -> str:
        """Hash: tag to raw bytes of claimed messages that kombu's hash cannot hold, because they are no JSON."""
        return f"{self.prefix}celeriac.malformed"

    @property
    def deliveries(self) -> str:
        """Hash: tag to the number of charged deliveries that were not settled."""
        return f"{self.prefix}celeriac.deliveries"

    def delayed(self, queue: str) -> str:
        """Sorted set: ``<suffix length>:<suffix><envelope>`` by the Unix time at which it is due."""
        return f"{self.prefix}celeriac.delayed.{queue}"

    def consumers(self, queue: str) -> str:
        """Set: tokens of the sessions that consume a queue, and so see to its delayed messages."""
        return f"{self.prefix}celeriac.consumers.{queue}"

    def delayed_member(self, priority: int, envelope: bytes) -> bytes:
        """A member of such a set."""
        suffix = self.suffix(priority).encode()
        return b"%d:%b%b" % (len(suffix), suffix, envelope)

    def read_delayed_member(self, member: bytes) -> tuple[bytes, bytes]:
        """The suffix of the list and the envelope, of a member of such a set."""
        size, _, rest = member.partition(b":")
        return rest[: int(size)], rest[int(size) :]

    @property
    def exchanges(self) -> str:
        """Hash: exchange to its type, which kombu keeps nowhere."""
        return f"{self.prefix}celeriac.exchanges"

    def notices(self, topic: str) -> str:
        """Sorted set: texts by the Unix time until which they are kept."""
        return f"{self.prefix}celeriac.notices.{topic}"

    @property
    def dead(self) -> str:
        """Stream of messages set aside."""
        return f"{self.prefix}celeriac.dead"


def topic_regex(routing_key: str) -> str:
    r"""The regular expression kombu keeps beside a topic binding.

    >>> topic_regex("stock.*.#")
    '^stock\\.[^\\.]+\\..*?$'
    """
    words = {"*": r"[^\.]+", "#": r".*?"}
    return "^" + r"\.".join(words.get(word, re.escape(word)) for word in routing_key.split(".")) + "$"


class TagSource:
    """Delivery tags in the form of UUIDs: a random part for the source, and a count."""

    __slots__ = ("_count", "_head")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        text = str(uuid.uuid4())
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
    mark = uuid.uuid4().hex
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
