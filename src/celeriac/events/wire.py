"""Events on the wire, as Celery has them: fields, exchange, routing keys, one event or a list in a message.

Observed on Celery 5.7: the exchange is a topic exchange, on Redis one of type fanout whose channels carry the routing
key; a message with a list has the routing key ``task.multi``.  It sends nothing.
"""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.topology import Exchange, Queue
from celeriac.message import Destination, Message, Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from celeriac.broker.base import BrokerCapabilities
    from celeriac.config import Settings
    from celeriac.current import AppLike

    #: Type, Unix time, and what `fields_of` makes fields of.
    Told: TypeAlias = tuple[str, float, Any]

__all__ = ["Envelopes", "Event", "event_exchange", "routing_key_of", "utc_offset"]

#: Routing key of a message that holds a list of events.
MULTI: Final = "task.multi"
_TRANSIENT: Final = 1


def Event(
    type: str, _fields: Mapping[str, Any] | None = None, *, timestamp: float | None = None, **fields: Any
) -> dict[str, Any]:
    """The part of an event that is not about its sender.

    Args:
        type: ``task-sent``, ``worker-heartbeat`` and so on.
        _fields: Fields.
        timestamp: Unix time in seconds; None is now.
        **fields: More fields.

    >>> Event("task-progress", uuid="1", timestamp=5.0)
    {'uuid': '1', 'timestamp': 5.0, 'type': 'task-progress'}
    """
    event = {**(_fields or {}), **fields}
    event.setdefault("timestamp", time.time() if timestamp is None else timestamp)
    event["type"] = type
    return event


def routing_key_of(type: str) -> str:
    """The routing key of a type of event.

    >>> routing_key_of("task-succeeded")
    'task.succeeded'
    """
    return type.replace("-", ".")


def utc_offset() -> float:
    """Hours that the local time is behind UTC: the field ``utcoffset``."""
    return -time.localtime().tm_gmtoff / 3600


def event_exchange(conf: Settings, capabilities: BrokerCapabilities) -> Exchange:
    """The exchange of events on a broker."""
    return Exchange(str(conf.event_exchange), "fanout" if capabilities.fanout_by_key else "topic")


@cache
def _fast_json() -> Callable[[Any], bytes] | None:
    """An encoder of plain values that takes a tenth of the serializer's time, where msgspec is installed."""
    try:
        from msgspec.json import Encoder
    except ImportError:
        return None

    return Encoder().encode


def fields_of(told: Any) -> Mapping[str, Any]:
    """Fields of an event, of the short forms in which frequent ones travel within a worker.

    Args:
        told: The id of a task that started; id, text of the result and seconds of one that succeeded; the headers, as
            the only item of a tuple, of one that was received; or the fields themselves.
    """
    if type(told) is str:
        return {"uuid": told}
    if type(told) is not tuple:
        return told  # type: ignore[no-any-return]
    if len(told) == 3:
        return {"uuid": told[0], "result": told[1], "runtime": told[2]}
    headers: Mapping[str, Any] = told[0]
    get = headers.get
    return {
        "uuid": headers["id"],
        "name": get("shadow") or headers["task"],
        "args": get("argsrepr"),
        "kwargs": get("kwargsrepr"),
        "root_id": get("root_id"),
        "parent_id": get("parent_id"),
        "retries": get("retries") or 0,
        "eta": get("eta"),
        "expires": get("expires"),
    }


class Envelopes:
    """Makes messages of the events of one sender.

    Args:
        app: The application.
        hostname: Name of the sender.
        serializer: Name of a serializer; None is ``event_serializer``.
        delivery_mode: 1 (transient) or 2 (persistent).
    """

    def __init__(
        self,
        app: AppLike,
        hostname: str,
        *,
        serializer: str | None = None,
        delivery_mode: int = _TRANSIENT,
    ) -> None:
        self._serializers = app.serializers
        self._serializer = serializer or str(app.conf.event_serializer)
        self._hostname = hostname
        self._headers = {"hostname": hostname}
        self._properties = {"delivery_mode": delivery_mode}
        self._conf = app.conf
        self._pid = os.getpid()
        # The identity of a queue without a name, which stands for its exchange, says whether it was declared.
        self._anchors: dict[str, Queue] = {}

    def event(
        self, type: str, fields: Mapping[str, Any], clock: int | None, *, timestamp: float | None = None
    ) -> dict[str, Any]:
        """One whole event; ``clock`` is None for one that has no place in the order of things."""
        return {
            "hostname": self._hostname,
            "utcoffset": utc_offset(),
            "pid": self._pid,
            "clock": clock,
            **fields,
            "timestamp": time.time() if timestamp is None else timestamp,
            "type": type,
        }

    def events(self, first: int, told: Iterable[Told]) -> list[dict[str, Any]]:
        """Whole events.

        Args:
            first: Logical clock of the first; each has one of its own.
            told: What they say.
        """
        hostname, offset, pid = self._hostname, utc_offset(), self._pid
        return [
            {
                "hostname": hostname, "utcoffset": offset, "pid": pid, "clock": clock, **fields_of(what),
                "timestamp": at, "type": type_,
            }
            for clock, (type_, at, what) in enumerate(told, first)
        ]  # fmt: skip

    def publication(
        self, events: Mapping[str, Any] | Sequence[Mapping[str, Any]], broker: Any, *, plain: bool = False
    ) -> Publication:
        """The message of one event, or of several.

        Args:
            events: A mapping is one event; a sequence goes as a list.
            broker: Where it is going to be published.
            plain: They hold nothing but text, numbers and None.
        """
        key = routing_key_of(events["type"]) if isinstance(events, dict) else MULTI
        content_type, content_encoding, body = self._encode(events, plain)
        message = Message(body, content_type, content_encoding, self._headers, self._properties)
        return Publication(message, self._destination(key, broker.capabilities))

    def _encode(self, events: Any, plain: bool) -> tuple[str, str, bytes]:
        """Content type, content encoding and content."""
        if plain and self._serializer == "json" and (encode := _fast_json()) is not None:
            try:
                return "application/json", "utf-8", encode(events)
            except (TypeError, ValueError):
                # Text with half of a surrogate pair, or what a malformed message had where text should be.
                pass
        return self._serializers.dumps(events, self._serializer)

    def _destination(self, key: str, capabilities: BrokerCapabilities) -> Destination:
        exchange = event_exchange(self._conf, capabilities)
        anchor = self._anchors.get(exchange.type)
        if anchor is None:
            anchor = self._anchors[exchange.type] = Queue("", exchange)
        return Destination(exchange.name, key, anchor)


def read_events(message: Message, loads: Callable[..., Any], accept: frozenset[str]) -> list[dict[str, Any]]:
    """The events of a message; what is neither an event nor a list of some is none.

    Raises:
        SerializationError: It cannot be decoded.
    """
    body = loads(message.body, message.content_type, message.content_encoding, accept)
    found = body if isinstance(body, list) else [body]
    return [event for event in found if isinstance(event, dict) and isinstance(event.get("type"), str)]
