"""Exchanges, queues and bindings to declare in one write, without waiting for the answer to each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.drivers.amqp import methods as m

if TYPE_CHECKING:
    from collections.abc import Mapping


class Declarations:
    """A list of declarations for :meth:`Channel.declare_all`, carried out in the order they were added."""

    def __init__(self) -> None:
        self._methods: list[tuple[int, tuple[Any, ...]]] = []

    def __len__(self) -> int:
        return len(self._methods)

    def exchange(
        self,
        name: str,
        exchange_type: str = "direct",
        *,
        durable: bool = True,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Add exchange.declare."""
        args = (0, name, exchange_type, False, durable, auto_delete, False, True, arguments or {})
        self._methods.append((m.EXCHANGE_DECLARE, args))

    def queue(
        self,
        name: str,
        *,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Add queue.declare; the queue needs a name."""
        args = (0, name, False, durable, exclusive, auto_delete, True, arguments or {})
        self._methods.append((m.QUEUE_DECLARE, args))

    def bind_queue(
        self, queue: str, exchange: str, routing_key: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Add queue.bind."""
        self._methods.append((m.QUEUE_BIND, (0, queue, exchange, routing_key, True, arguments or {})))

    def bind_exchange(
        self, destination: str, source: str, routing_key: str = "", arguments: Mapping[str, Any] | None = None
    ) -> None:
        """Add exchange.bind."""
        self._methods.append((m.EXCHANGE_BIND, (0, destination, source, routing_key, True, arguments or {})))

    def encode(self, channel: int) -> bytes:
        """The frames of all declarations for a channel."""
        return b"".join(m.encode_method(channel, method, *args) for method, args in self._methods)
