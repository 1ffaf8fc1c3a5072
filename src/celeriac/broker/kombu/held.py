"""What a session has taken, and the forms a message has in kombu.  No I/O."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.message import Delivery, Message
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.message import Publication

#: A property of our own, with what kombu does not keep: how often the message was handed out, until when it is not
#: due, when it was sent, and by which exchange and routing key, when it went back to its queue.
MARKS: Final = "celeriac"
#: Properties that kombu writes for itself.
_KOMBUS: Final = ("delivery_info", "delivery_tag", "body_encoding", MARKS)
CONTENT: Final = "application/data"


@dataclass
class Payload:
    """A message on its way into kombu.

    Attributes:
        message: The message.
        exchange, routing_key: Where it goes.
        marks: Our property.
    """

    message: Message
    exchange: str
    routing_key: str
    marks: Mapping[str, Any]


@dataclass
class Held:
    """A message that was taken and not settled.

    Attributes:
        queue: Queue it came from.
        kombu_tag: By which kombu knows it; None where nothing is to be acknowledged.
        message: The message.
        exchange, routing_key: By which it was published.
        marks: Our property.
        redelivered: kombu says that it was handed out before.
        malformed: Why it could not be read, or None.
        taken_at: Monotonic time.
    """

    queue: str
    kombu_tag: Any
    message: Message
    exchange: str
    routing_key: str
    marks: dict[str, Any]
    redelivered: bool
    malformed: str | None
    taken_at: float

    @property
    def charged(self) -> int:
        """How often it was handed out before."""
        value = self.marks.get("deliveries", 0)
        return value if isinstance(value, int) else 0

    @property
    def not_before(self) -> float:
        """Unix time before which it is not due."""
        return _number(self.marks.get("not_before"))

    def lapses_at(self, message_ttl: float | None) -> float | None:
        """Unix time at which it is gone, in a queue whose messages live so long; None is never."""
        sent, limits = _number(self.marks.get("sent")), [] if message_ttl is None else [message_ttl]
        expiration = self.message.properties.get("expiration")
        if expiration is not None:
            limits.append(_number(expiration) / 1000)
        return sent + min(limits) if sent and limits else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def new_payload(item: Publication) -> Payload:
    """A message that is published."""
    marks: dict[str, Any] = {"sent": time.time()}
    # The message itself says when it is due: it waits in its queue as any other, and whoever gets it holds it.
    if item.not_before is not None:
        marks["not_before"] = item.not_before
    return Payload(item.message, item.destination.exchange, item.destination.routing_key, marks)


def copy_of(held: Held, *, charge: bool, not_before: float | None = None) -> Payload:
    """The message once more, for its queue."""
    marks = {
        **held.marks,
        "deliveries": held.charged + charge,
        "not_before": not_before,
        "exchange": held.exchange,
        "routing_key": held.routing_key,
    }
    return Payload(held.message, "", held.queue, {name: value for name, value in marks.items() if value is not None})


def read(raw: Any, queue: str, *, settled: bool) -> Held:
    """What kombu hands over, as something held.

    Args:
        raw: Its message.
        queue: Queue it was taken from.
        settled: Nothing is to be acknowledged.
    """
    properties = dict(raw.properties)
    info = raw.delivery_info or {}
    marks = properties.pop(MARKS, None)
    marks = dict(marks) if isinstance(marks, dict) else {}
    body = raw.body if isinstance(raw.body, bytes) else str(raw.body or "").encode()
    for name in _KOMBUS:
        properties.pop(name, None)
    return Held(
        queue,
        None if settled else raw.delivery_tag,
        Message(body, raw.content_type or CONTENT, raw.content_encoding or "utf-8", raw.headers, properties),
        str(marks.pop("exchange", info.get("exchange") or "")),
        str(marks.pop("routing_key", info.get("routing_key") or "")),
        marks,
        bool(raw.was_redelivered),
        raw.malformed,
        time.monotonic(),
    )


def as_delivery(held: Held, tag: int, session_id: int) -> Delivery:
    """What a worker gets."""
    return Delivery(
        held.message,
        held.queue,
        tag,
        session_id,
        held.exchange,
        held.routing_key,
        held.redelivered or held.charged > 0,
        held.charged + 1,
        held.malformed,
    )
