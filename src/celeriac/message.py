"""What travels between a client, a broker and a worker.  Nothing here knows how a task is encoded.

Instances are treated as immutable after construction; they are plain slotted classes because freezing
a dataclass costs a microsecond per instance, and every task passes through three of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from celeriac.broker.topology import Queue
    from celeriac.typing import Headers, Properties


class MessageForm:
    """What many messages have in common: all but their bodies and the values of what is named here.

    A broker that writes messages one by one writes the common part once, and keeps it here.

    Args:
        headers: Names of the headers that differ, in order.
        properties: Names of the properties that differ, in order; none of them is None.

    Attributes:
        written: What brokers made of it, by keys of their own.
    """

    __slots__ = ("headers", "properties", "written")

    def __init__(self, headers: tuple[str, ...], properties: tuple[str, ...]) -> None:
        self.headers = headers
        self.properties = properties
        self.written: dict[Any, Any] = {}


@dataclass
class Message:
    """What a broker carries. The body is opaque to everything but `protocol` and `serialization`.

    Attributes:
        body: Serialized (and maybe compressed) payload.
        content_type: MIME type of the payload.
        content_encoding: ``utf-8`` or ``binary``.
        headers: Application headers, JSON-like.
        properties: ``correlation_id``, ``reply_to``, ``priority``, ``delivery_mode``, ``expiration``
            (a string of milliseconds) and any further property given to ``apply_async``.
        form: What it has in common with other messages, when that is known.
    """

    body: bytes
    content_type: str
    content_encoding: str
    headers: Headers
    properties: Properties
    form: MessageForm | None = None


@dataclass
class Destination:
    """Where a message goes.

    Attributes:
        exchange: ``""`` is the default exchange: ``routing_key`` is then the name of a queue.
        routing_key: Routing key.
        queue: Declared before the first publish of a session; None declares nothing.
    """

    exchange: str
    routing_key: str
    queue: Queue | None = None


@dataclass(frozen=True)
class Once:
    """What a message is one of, where a broker has to take each of them once, from the newest of those who send them.

    Attributes:
        scope: What `token` belongs to.
        token: Rises with every change of who sends.
        series: What the message is the next one of.
        place: Its place in the series: two messages with the same one are the same message.
    """

    scope: str
    token: int
    series: str
    place: str


@dataclass
class Publication:
    """One message on its way to the broker.

    Attributes:
        message: The message.
        destination: Where it goes.
        not_before: Unix time in seconds before which it must not be delivered; None is at once.
        mandatory: An unroutable message is an error instead of being dropped silently.
        holdable: The message itself says when it is due, so that a broker may leave the wait to the consumer.
        once: Taken only if it is not the one taken last of its series; None is always.
    """

    message: Message
    destination: Destination
    not_before: float | None = None
    mandatory: bool = False
    holdable: bool = False
    once: Once | None = None


@dataclass
class Delivery:
    """One message handed to a worker, and the right to settle it in the session that handed it over.

    Attributes:
        message: The message. When `malformed` is set, its body holds the raw bytes and the rest is empty.
        queue: Name of the queue it came from.
        tag: The driver's own token for it.
        session_id: The session that may settle it.
        exchange: Exchange it was published to.
        routing_key: Routing key it was published with.
        redelivered: It was handed out before.
        deliveries: How often it has been handed out, this time included; at least 1.
        malformed: Why the envelope could not be read, or None.
        relayed: It was not fetched: whoever published it put it under the session's lease.
    """

    message: Message
    queue: str
    tag: Any
    session_id: int
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    deliveries: int = 1
    malformed: str | None = None
    relayed: bool = False


@dataclass
class DeadLetter:
    """A message that was set aside.

    Attributes:
        id: Name of the entry in its broker.
        queue: Queue it came from.
        reason: Why it was set aside.
        message: The message; for a malformed envelope, its raw bytes as the body.
        dead_at: Unix time in seconds.
        details: Further facts: the number of deliveries, exchange and routing key; ``malformed`` where the envelope
            could not be read, so that the body holds all of it.
    """

    id: str
    queue: str
    reason: str
    message: Message
    dead_at: float
    details: dict[str, Any] = field(default_factory=dict)
