"""`Producer`: publishes messages that are no calls of tasks, and calls of tasks that are given it.

It encodes them; deadlines and retries are those of its connection's publisher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.shapes import as_exchange, as_queue
from celeriac.broker.topology import Exchange, Queue
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Destination, Message, Publication
from celeriac.serialization.compression import compress
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Producer"]

_PERSISTENT: Final = 2
_MODES: Final = {"transient": 1, "persistent": 2}


class Producer:
    """Publishes messages.

    Args:
        channel: A channel, or a connection.
        exchange: Where messages go that name no other.
        routing_key: With which key.
        serializer: Name of the serializer; None sends text and bytes as they are, and anything else as JSON.
        auto_declare: Declare exchanges before a message goes there; those that `publish` is given by name it cannot.
        compression: Name of the compression.
        on_return: Not supported; must be None.

    Raises:
        ImproperlyConfigured: ``on_return`` was given.
    """

    def __init__(
        self,
        channel: Any,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        serializer: str | None = None,
        auto_declare: bool | None = None,
        compression: str | None = None,
        on_return: Any = None,
    ) -> None:
        if on_return is not None:
            raise ImproperlyConfigured("Producer(on_return=...) is not supported: publish with mandatory=True instead")
        self.connection = getattr(channel, "connection", channel)
        self.exchange = _exchange(exchange)
        self.routing_key = routing_key or ""
        self.serializer = serializer
        self.compression = compression
        self.auto_declare = True if auto_declare is None else auto_declare

    def declare(self) -> None:
        """Declare the exchange."""
        if self.exchange.name:
            self.connection.session.declare([_alone(self.exchange)])

    def maybe_declare(self, entity: Any, retry: bool = False, **retry_policy: Any) -> bool:
        """Declare a queue or an exchange."""
        self.connection.session.declare([_declared(entity)])
        return True

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: int | str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        priority: int = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        exchange: Exchange | str | None = None,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        declare: Iterable[Any] | None = None,
        expiration: float | None = None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        **properties: Any,
    ) -> None:
        """Publish a message; returns when the broker has taken responsibility for it.

        Args:
            body: What to send.
            routing_key: Key; None is the producer's.
            delivery_mode: 1 or ``transient``, 2 or ``persistent``; None is the exchange's, or persistent.
            mandatory: A message that reaches no queue is an error.
            immediate: Not supported by any broker; must be False.
            priority: Greater ones are delivered first.
            content_type: Of a body that is encoded already, which is then sent as it is.
            content_encoding: Ditto.
            serializer: Name of the serializer; None is the producer's.
            headers: Headers.
            compression: Name of the compression; None is the producer's.
            exchange: Where to; None is the producer's.
            retry: Connect anew and try again when the connection breaks.
            retry_policy: ``max_retries``, ``interval_start``, ``interval_step``, ``interval_max``, ``retry_errors``;
                what it leaves out is that of ``task_publish_retry_policy``.
            declare: Queues and exchanges to declare before.
            expiration: Seconds after which it may be dropped.
            timeout: Seconds for everything, retries included; None is ``broker_publish_timeout``.
            confirm_timeout: Ditto, the shorter of both counts.
            **properties: Further properties: ``correlation_id``, ``reply_to`` and so on.

        Raises:
            OperationalError: The broker did not accept it in time.
            EncodeError: The serializer cannot encode it.
        """
        if immediate:
            raise ImproperlyConfigured("publish(immediate=True) is not supported by brokers: leave it out")
        target = self.exchange if exchange is None else _exchange(exchange)
        known: dict[str, Any] = {"priority": priority or None, "delivery_mode": _mode(delivery_mode, target)}
        if expiration is not None:
            known["expiration"] = str(int(expiration * 1000))
        message = self._message(body, content_type, content_encoding, serializer, headers, compression)
        message.properties.update({key: value for key, value in {**properties, **known}.items() if value is not None})
        destination = Destination(target.name, self.routing_key if routing_key is None else routing_key)
        wanted = [_declared(each) for each in declare or ()]
        if self.auto_declare and target.name and not target.no_declare and not isinstance(exchange, str):
            wanted.append(_alone(target))
        limits = [limit for limit in (timeout, confirm_timeout) if limit is not None]
        publication = Publication(message, destination, mandatory=mandatory)
        self.connection.publisher.publish_many(
            (publication,), timeout=min(limits, default=None), retry=retry, retry_policy=retry_policy, declare=wanted
        )

    def _message(
        self, body: Any, content_type: str | None, encoding: str | None, serializer: str | None,
        headers: Mapping[str, Any] | None, compression: str | None,
    ) -> Message:  # fmt: skip
        serializer = serializer or self.serializer
        if content_type is not None or (serializer is None and isinstance(body, bytes | str)):
            binary = isinstance(body, bytes)
            data = body if isinstance(body, bytes) else str(body).encode(encoding or "utf-8")
            content_type = content_type or ("application/data" if binary else "text/plain")
            encoding = encoding or ("binary" if binary else "utf-8")
        else:
            content_type, encoding, data = registry.dumps(body, serializer or "json")
        own = dict(headers or {})
        if compression := compression or self.compression:
            data, own["compression"] = compress(data, compression)
        return Message(data, content_type, encoding, own, {})

    def revive(self, channel: Any) -> None:
        """Go on with another channel or connection."""
        self.connection = getattr(channel, "connection", channel)

    def close(self) -> None:
        """Nothing is held: the connection is its owner's."""

    release = close

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.connection!r}>"


def _exchange(given: Any) -> Exchange:
    found = as_exchange(given)
    return found if isinstance(found, Exchange) else Exchange(found or "")


def _alone(exchange: Exchange) -> Queue:
    return Queue("", exchange, no_declare=True)


def _declared(entity: Any) -> Queue:
    found = as_exchange(as_queue(entity))
    if isinstance(found, Exchange):
        return _alone(found)
    if isinstance(found, Queue):
        return found
    raise ImproperlyConfigured(f"what can be declared are queues and exchanges, got {entity!r}")


def _mode(given: int | str | None, exchange: Exchange) -> int | None:
    mode = exchange.delivery_mode if given is None else given
    if mode is None:
        return _PERSISTENT
    return _MODES[mode] if isinstance(mode, str) else mode
