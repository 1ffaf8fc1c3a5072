"""`ConsumerMixin`, as in ``kombu.mixins``: a program that consumes until it is told to stop."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import OperationalError
from celeriac.messaging.consumer import Consumer
from celeriac.messaging.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ConsumerMixin", "ConsumerProducerMixin"]

logger = logging.getLogger("celeriac.messaging")


class ConsumerMixin:
    """Consumes; a subclass has ``connection`` and `get_consumers`.

    Attributes:
        connection: Where messages come from.
        should_stop: Set it to end `run`.
        connect_max_retries: Attempts to connect anew; None is any number.
    """

    connection: Any
    should_stop = False
    connect_max_retries: int | None = None

    def get_consumers(self, Consumer: Any, channel: Any) -> Any:
        """The consumers; for subclasses.

        Args:
            Consumer: Makes one on the channel.
            channel: The channel.

        Raises:
            NotImplementedError: The subclass has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no get_consumers()")

    def on_connection_revived(self) -> None:
        """Called when the connection is there again."""

    def on_consume_ready(self, connection: Any, channel: Any, consumers: Any, **kwargs: Any) -> None:
        """Called when the consumers get messages."""

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """Called when they get no more."""

    def on_iteration(self) -> None:
        """Called before each wait for a message."""

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Called for a message that cannot be decoded; it is acknowledged, so that it is gone."""
        logger.error("A message cannot be decoded: %r (type: %r)", exc, message.content_type)
        message.ack()

    def on_connection_error(self, exc: Exception, interval: float) -> None:
        """Called when connecting failed, with the seconds until the next attempt."""
        logger.warning("Connecting failed: %r. Trying again in %s seconds.", exc, interval)

    def run(self, _tokens: float = 1, **kwargs: Any) -> None:
        """Consume until `should_stop` is set.

        Args:
            _tokens: Accepted for the signature's sake.
            **kwargs: For `consume`.
        """
        while not self.should_stop:
            try:
                for _ in self.consume(limit=None, **kwargs):
                    pass
            except OperationalError as exc:
                logger.warning("The connection broke: %r. Connecting anew.", exc)
                self.connection.close()

    def consume(
        self, limit: int | None, timeout: float | None = None, safety_interval: float = 1, **kwargs: Any
    ) -> Iterator[None]:
        """Yield after each message, or several.

        Args:
            limit: Most rounds; None is any number.
            timeout: Seconds without a message after which it is an error.
            safety_interval: Seconds between two looks at `should_stop`.
            **kwargs: For `on_consume_ready`.

        Raises:
            TimeoutError: No message came in time.
        """
        idle = 0.0
        with self.consumer_context(**kwargs) as (connection, _channel, _consumers):
            for _ in count() if limit is None else range(limit):
                if self.should_stop:
                    break
                self.on_iteration()
                try:
                    connection.drain_events(timeout=safety_interval)
                except TimeoutError:
                    idle += safety_interval
                    if timeout and idle >= timeout:
                        raise
                else:
                    idle = 0.0
                    yield

    @contextmanager
    def consumer_context(self, **kwargs: Any) -> Iterator[tuple[Any, Any, Any]]:
        """The connection, a channel and the consumers, which get messages meanwhile."""
        connection = self.establish_connection()
        with connection.channel() as channel, ExitStack() as stack:
            make = partial(Consumer, channel, on_decode_error=self.on_decode_error)
            consumers = [stack.enter_context(each) for each in self.get_consumers(make, channel)]
            self.on_consume_ready(connection, channel, consumers, **kwargs)
            try:
                yield connection, channel, consumers
            finally:
                self.on_consume_end(connection, channel)

    def establish_connection(self) -> Any:
        """The connection, open."""
        connection = self.connection.ensure_connection(self.on_connection_error, self.connect_max_retries)
        self.on_connection_revived()
        return connection


class ConsumerProducerMixin(ConsumerMixin):
    """A `ConsumerMixin` that publishes too, on another connection."""

    _producer_connection: Any = None

    @property
    def producer_connection(self) -> Any:
        """The connection that is published to."""
        if self._producer_connection is None:
            self._producer_connection = self.connection.clone()
        return self._producer_connection

    @property
    def producer(self) -> Producer:
        """Publishes."""
        return Producer(self.producer_connection)

    def on_consume_end(self, connection: Any, channel: Any) -> None:
        """Close the connection that was published to."""
        if self._producer_connection is not None:
            self._producer_connection.close()
