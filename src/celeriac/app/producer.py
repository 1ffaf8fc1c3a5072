"""`Producer`: publishes messages that are no calls of tasks, and calls of tasks that are given it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.broker.topology import Exchange, Queue
from celeriac.message import Destination, Message, Publication
from celeriac.serialization.compression import compress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.app.base import Celery
    from celeriac.app.connection import Connection

__all__ = ["Producer"]

_MODES = {"transient": 1, "persistent": 2}


class Producer:
    """Publishes through one connection.

    Args:
        app: Knows how messages are published.
        connection: The connection.
        exchange: Where messages go unless they say otherwise.
        routing_key: With which routing key, likewise.
        serializer: How they are written; None is ``task_serializer``.
        compression: How they are compressed.
    """

    def __init__(
        self,
        app: Celery,
        connection: Connection,
        exchange: Exchange | str | None = None,
        routing_key: str = "",
        serializer: str | None = None,
        compression: str | None = None,
    ) -> None:
        self.app = app
        self.connection = connection
        self.exchange = exchange
        self.routing_key = routing_key
        self.serializer = serializer
        self.compression = compression

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: int | str | None = None,
        mandatory: bool = False,
        priority: int = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: Mapping[str, Any] | None = None,
        compression: str | None = None,
        exchange: Exchange | str | None = None,
        retry: bool = False,
        retry_policy: Mapping[str, Any] | None = None,
        declare: Sequence[Queue | Exchange] = (),
        expiration: float | None = None,
        timeout: float | None = None,
        **properties: Any,
    ) -> None:
        """Publish a message; returns once the broker has taken responsibility for it.

        Args:
            body: Anything the serializer can carry; with a ``content_type``, bytes or text as they are to be sent.
            routing_key: Routing key.
            delivery_mode: ``persistent`` or 2, ``transient`` or 1; None is ``task_default_delivery_mode``.
            mandatory: A message that reaches no queue is an error.
            priority: Priority.
            content_type: MIME type of a body that needs no serializer.
            content_encoding: Its encoding; None is ``utf-8`` for text, ``binary`` for bytes.
            serializer: How it is written.
            headers: Headers.
            compression: How it is compressed.
            exchange: Where it goes; None or an empty name is the default exchange: routing keys are names of queues.
            retry: Try again when the broker cannot be reached.
            retry_policy: Replaces ``task_publish_retry_policy``.
            declare: Queues and exchanges to declare first.
            expiration: Seconds after which it is dropped.
            timeout: Seconds for everything; None is ``broker_publish_timeout``.
            **properties: More properties of the message, such as ``correlation_id``.

        Raises:
            EncodeError: The serializer cannot carry the body.
            OperationalError: The broker did not accept it in time.
        """
        content_type, content_encoding, data = self._encode(body, content_type, content_encoding, serializer)
        made = dict(headers or {})
        compression = compression or self.compression
        if compression is not None:
            data, made["compression"] = compress(data, compression)
        mode: Any = delivery_mode or self.app.conf.task_default_delivery_mode
        properties.update(delivery_mode=_MODES.get(mode, mode), priority=priority)
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))
        message = Message(data, content_type, content_encoding, made, properties)
        target = exchange if exchange is not None else self.exchange
        name = target.name if isinstance(target, Exchange) else target or ""
        key = self.routing_key if routing_key is None else routing_key
        self.app.publisher.through(self).publish_many(
            (Publication(message, Destination(name, key), mandatory=mandatory),),
            timeout=timeout, retry=retry, retry_policy=retry_policy, declare=[_declarable(each) for each in declare],
        )  # fmt: skip

    def _encode(
        self, body: Any, content_type: str | None, content_encoding: str | None, serializer: str | None
    ) -> tuple[str, str, bytes]:
        if content_type is None:
            return self.app.serializers.dumps(body, serializer or self.serializer or self.app.conf.task_serializer)
        if isinstance(body, str):
            encoding = content_encoding or "utf-8"
            return content_type, encoding, body.encode(encoding)
        return content_type, content_encoding or "binary", bytes(body)

    def declare(self) -> None:
        """Declare its exchange."""
        if isinstance(self.exchange, Exchange):
            self.connection.session.declare([_declarable(self.exchange)])

    def release(self) -> None:
        """Be used no more; its connection stays open."""

    close = release

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.connection.as_uri()}>"


def _declarable(entity: Queue | Exchange) -> Queue:
    """A queue without a name stands for its exchanges."""
    return entity if isinstance(entity, Queue) else Queue("", entity)
