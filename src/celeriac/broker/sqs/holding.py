"""What a session has taken, and the forms a message has in the service.  No I/O."""

from __future__ import annotations

import time
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celeriac.broker.envelope import MalformedEnvelope, decode_envelope
from celeriac.broker.sqs.names import is_fifo
from celeriac.broker.sqs.service import Outgoing
from celeriac.message import Delivery, Message
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Attributes of our own: deliveries counted before this copy; Unix time before which it is not due.
DELIVERIES: Final = "celeriac.deliveries"
NOT_BEFORE: Final = "celeriac.not-before"
#: The longest delay of a message, and the longest time for which one that was taken can be hidden, in seconds.
MAX_DELAY: Final = 900
MAX_HIDDEN: Final = 12 * 3600
DEFAULT_GROUP: Final = "default"


@dataclass
class Held:
    """A message that was taken and not settled.

    Attributes:
        queue: Queue it came from.
        receipt: By which the service knows that it was taken.
        body: Its text, as it was.
        attributes: Its attributes but ours.
        deliveries: How often it was handed out, this time included.
        not_before: Unix time before which it is not due, or None.
        until: Monotonic time until which it is certainly ours.
        group: Of a queue with order.
    """

    queue: str
    receipt: str
    body: str
    attributes: Mapping[str, Any]
    deliveries: int
    not_before: float | None
    until: float
    group: str | None


def read(queue: str, message: Mapping[str, Any], until: float) -> Held:
    """What the service answered, as something held."""
    attributes = dict(message.get("MessageAttributes") or {})
    system = message.get("Attributes") or {}
    return Held(
        queue,
        str(message["ReceiptHandle"]),
        str(message["Body"]),
        attributes,
        int(_number(attributes.pop(DELIVERIES, None)) or 0) + int(system.get("ApproximateReceiveCount", 1)),
        _number(attributes.pop(NOT_BEFORE, None)),
        until,
        system.get("MessageGroupId"),
    )


def _number(attribute: Any) -> float | None:
    try:
        return float(attribute["StringValue"])
    except (TypeError, KeyError, ValueError):
        return None


def as_delivery(held: Held, tag: int, session_id: int) -> Delivery:
    """What a worker gets."""
    try:
        raw = _decoded(held.body)
        message, exchange, routing_key, redelivered = decode_envelope(raw)
        malformed = None
    except MalformedEnvelope as error:
        message, malformed = Message(held.body.encode(), "", "", {}, {}), str(error)
        exchange = routing_key = ""
        redelivered = False
    return Delivery(
        message,
        held.queue,
        tag,
        session_id,
        exchange,
        routing_key,
        redelivered or held.deliveries > 1,
        held.deliveries,
        malformed,
    )


def _decoded(body: str) -> bytes:
    """An envelope, which may be in base64."""
    if body.lstrip().startswith("{"):
        return body.encode()
    try:
        return a2b_base64(body.encode())
    except (Base64Error, ValueError) as error:
        raise MalformedEnvelope(f"the body is neither JSON nor base64: {error}") from None


def encoded(envelope: bytes, *, base64: bool) -> str:
    """An envelope as a body."""
    return (b2a_base64(envelope, newline=False) if base64 else envelope).decode("ascii")


def outgoing(queue: str, body: str, properties: Mapping[str, Any], not_before: float | None) -> Outgoing:
    """A new message."""
    delay, marks = _delayed(queue, not_before)
    if not is_fifo(queue):
        return Outgoing(body, delay, marks)
    group = str(properties.get("MessageGroupId") or DEFAULT_GROUP)
    return Outgoing(body, 0, marks, group, str(properties.get("MessageDeduplicationId") or uuid4()))


def copy_of(held: Held, *, deliveries: int, not_before: float | None = None) -> Outgoing:
    """The message once more, as if it had been handed out so many times."""
    delay, ours = _delayed(held.queue, not_before)
    attributes = {**held.attributes, **ours}
    if deliveries:
        attributes[DELIVERIES] = {"DataType": "Number", "StringValue": str(deliveries)}
    return Outgoing(held.body, delay, attributes)


def _delayed(queue: str, not_before: float | None) -> tuple[int, dict[str, Any]]:
    """Whole seconds of a delay; and, where the service cannot delay for so long, the mark that says until when."""
    seconds = 0 if not_before is None else int(not_before - time.time())
    if seconds <= 0:
        return 0, {}
    if seconds <= MAX_DELAY and not is_fifo(queue):
        return seconds, {}
    return MAX_DELAY, {NOT_BEFORE: {"DataType": "Number", "StringValue": f"{not_before:.3f}"}}
