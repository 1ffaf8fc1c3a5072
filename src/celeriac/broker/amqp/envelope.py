"""Messages as RabbitMQ carries them, and back; counts of deliveries and places of origin travel in headers.

It sends nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.drivers.amqp.properties import PROPERTIES
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Delivery, Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.drivers.amqp import Delivery as RawDelivery

#: The number of the delivery that a copy of a message is about to begin; a message without it begins its first.
COUNT = "x-celeriac-deliveries"
#: Where a copy was published to originally, when that was not the default exchange and the name of its queue.
EXCHANGE, ROUTING_KEY = "x-celeriac-exchange", "x-celeriac-routing-key"
#: Set by quorum queues: how often the message came back; RabbitMQ 4 adds the second.
DELIVERY_COUNT, ACQUIRED_COUNT = "x-delivery-count", "x-acquired-count"

#: Names of the exchanges and queues of Celery's native delayed delivery begin with it.
DELAY_PREFIX = "celery_delayed_"

PERSISTENT = 2
DELIVERY_MODES = {"transient": 1, "persistent": PERSISTENT, 1: 1, 2: 2}

_KNOWN = PROPERTIES.keys()
#: Headers that would route a copy once more, or that belong to the original's life in its queue.
_NOT_COPIED = frozenset({"CC", "BCC", DELIVERY_COUNT, ACQUIRED_COUNT})
#: Headers of dead-lettering. RabbitMQ takes a message that carries them and is dead-lettered by the same queue again
#: for one that goes round in circles, and drops it.
_DEATH = ("x-death", "x-first-death-", "x-last-death-")
_MARKS = frozenset({COUNT, EXCHANGE, ROUTING_KEY, DELIVERY_COUNT, ACQUIRED_COUNT})


def properties_of(message: Message) -> dict[str, Any]:
    """The basic properties of a message; those AMQP does not know stay behind."""
    properties = {
        "content_type": message.content_type,
        "content_encoding": message.content_encoding,
        "delivery_mode": PERSISTENT,
        **message.properties,
    }
    if not properties.keys() <= _KNOWN:
        properties = {name: value for name, value in properties.items() if name in _KNOWN}
    mode = properties["delivery_mode"]
    if mode != PERSISTENT and mode != 1:
        properties["delivery_mode"] = _delivery_mode(mode)
    expiration = properties.get("expiration")
    if expiration is not None and type(expiration) is not str:
        properties["expiration"] = str(int(expiration))
    return properties


def _delivery_mode(value: Any) -> int:
    if value is None:
        return PERSISTENT
    if value not in DELIVERY_MODES:
        raise ImproperlyConfigured(f"delivery_mode is {value!r}; it has to be 1 (transient) or 2 (persistent)")
    return DELIVERY_MODES[value]


def copy_properties(message: Message, *, keep_expiration: bool = True) -> dict[str, Any]:
    """The properties of a copy: the server accepts ``user_id`` from that user only."""
    properties = properties_of(message)
    properties.pop("user_id", None)
    if not keep_expiration:
        properties.pop("expiration", None)
    return properties


def copy_headers(delivery: Delivery, count: int) -> dict[str, Any]:
    """The headers of a copy whose next delivery has a certain number."""
    headers = {key: value for key, value in delivery.message.headers.items() if key not in _NOT_COPIED}
    if count > 1:
        headers[COUNT] = count
    if delivery.exchange or delivery.routing_key != delivery.queue:
        headers[EXCHANGE] = delivery.exchange
        headers[ROUTING_KEY] = delivery.routing_key
    return headers


def without_deaths(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Headers without the traces of dead-lettering."""
    return {key: value for key, value in headers.items() if not key.startswith(_DEATH)}


def has_deaths(headers: Mapping[str, Any]) -> bool:
    """Whether a message was dead-lettered before."""
    return "x-death" in headers


def read_delivery(raw: RawDelivery, queue: str, session_id: int) -> Delivery:
    """What a consumed message means.

    Args:
        raw: The message as the client received it; its properties and headers go over to the result.
        queue: Queue it came from.
        session_id: The session that received it.
    """
    properties, headers = raw.properties, raw.headers
    message = Message(
        raw.body,
        properties.pop("content_type", "application/data"),
        properties.pop("content_encoding", "binary"),
        headers,
        properties,
    )
    delivery = Delivery(message, queue, raw.delivery_tag, session_id, raw.exchange, raw.routing_key)
    if "x-death" in headers:
        _read_delayed(delivery)
    if not _MARKS.isdisjoint(message.headers):
        _read_marks(delivery)
    return delivery


def _read_delayed(delivery: Delivery) -> None:
    """Undo what the way through the delay queues did to a message; other dead letters stay as they are."""
    message = delivery.message
    if str(message.headers.get("x-first-death-queue")).startswith(DELAY_PREFIX):
        message.headers = without_deaths(message.headers)
        if delivery.exchange.startswith(DELAY_PREFIX):
            delivery.exchange, delivery.routing_key = "", delivery.queue


def _read_marks(delivery: Delivery) -> None:
    headers = delivery.message.headers
    returned = headers.pop(DELIVERY_COUNT, 0)
    headers.pop(ACQUIRED_COUNT, None)
    count = headers.pop(COUNT, 1)
    exchange, routing_key = headers.pop(EXCHANGE, None), headers.pop(ROUTING_KEY, None)
    if isinstance(exchange, str) and isinstance(routing_key, str):
        delivery.exchange, delivery.routing_key = exchange, routing_key
    delivery.deliveries = _natural(count, 1) + _natural(returned, 0)
    delivery.redelivered = delivery.deliveries > 1


def _natural(value: Any, least: int) -> int:
    """A number that another program may have written."""
    return value if type(value) is int and least <= value < 1 << 31 else least


def needs_count(raw: RawDelivery) -> bool:
    """Whether a message came back from a session that died, and its queue does not count."""
    return raw.redelivered and DELIVERY_COUNT not in raw.headers
