"""Queues, exchanges and bindings as values.  Declaring them on a server is the driver's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import dataclass, field, replace
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ExchangeType: TypeAlias = Literal["direct", "topic", "fanout", "headers"] | str

#: ``Queue`` options that are shorthand for AMQP queue arguments; the factor converts seconds to milliseconds.
_ARGUMENTS: Mapping[str, tuple[str, int]] = {
    "expires": ("x-expires", 1000),
    "message_ttl": ("x-message-ttl", 1000),
    "max_length": ("x-max-length", 1),
    "max_length_bytes": ("x-max-length-bytes", 1),
    "max_priority": ("x-max-priority", 1),
}


@dataclass(frozen=True)
class Exchange:
    """An exchange.

    Attributes:
        name: ``""`` is the default exchange, which routes to the queue named by the routing key.
        type: ``direct``, ``topic``, ``fanout`` or ``headers``.
        durable: It survives a restart of the broker.
        auto_delete: It goes with its last binding.
        delivery_mode: 1 (transient), 2 (persistent) or None for the app's default.
        arguments: Broker-specific arguments.
    """

    name: str = ""
    type: ExchangeType = "direct"
    durable: bool = True
    auto_delete: bool = False
    delivery_mode: int | str | None = None
    arguments: Mapping[str, Any] | None = None
    no_declare: bool = False

    def __hash__(self) -> int:
        return hash((self.name, self.type))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class binding:  # noqa: N801 - the field's name for it, used in users' task_queues
    """One binding of a queue to an exchange."""

    exchange: Exchange
    routing_key: str = ""
    arguments: Mapping[str, Any] | None = None

    def __hash__(self) -> int:
        return hash((self.exchange, self.routing_key))


@dataclass(frozen=True)
class Queue:
    """A queue and how it is bound.

    Attributes:
        name: Name.
        exchange: Exchange it is bound to; None binds it to nothing but the default exchange.
        routing_key: Routing key of that binding.
        bindings: More bindings.
        durable, exclusive, auto_delete: As in AMQP.
        queue_arguments: AMQP arguments (``x-queue-type`` and so on).
        expires: Seconds of disuse after which the queue is deleted.
        message_ttl: Seconds a message may wait.
        max_length: Messages the queue may hold.
        max_length_bytes: Bytes the queue may hold.
        max_priority: Largest priority (RabbitMQ ``x-max-priority``).
        no_ack: Consume without acknowledgement.
        alias: Name users know it by, when `name` is generated.
        consumer_arguments: AMQP arguments of the consumer.
        no_declare: Never declare it.
    """

    name: str
    exchange: Exchange | None = None
    routing_key: str = ""
    bindings: tuple[binding, ...] = ()
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False
    queue_arguments: Mapping[str, Any] | None = None
    binding_arguments: Mapping[str, Any] | None = None
    consumer_arguments: Mapping[str, Any] | None = None
    expires: float | None = None
    message_ttl: float | None = None
    max_length: int | None = None
    max_length_bytes: int | None = None
    max_priority: int | None = None
    no_ack: bool = False
    alias: str | None = None
    no_declare: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Users' settings give the name of an exchange, and any iterable of bindings.
        exchange: Any = self.exchange
        bindings: Any = self.bindings
        if isinstance(exchange, str):
            object.__setattr__(self, "exchange", Exchange(exchange))
        if not isinstance(bindings, tuple):
            object.__setattr__(self, "bindings", tuple(bindings or ()))

    def __hash__(self) -> int:
        return hash((self.name, self.exchange, self.routing_key))

    def __str__(self) -> str:
        return self.name

    @property
    def arguments(self) -> dict[str, Any]:
        """AMQP arguments with the shorthand options folded in."""
        out = dict(self.queue_arguments or {})
        for option, (name, factor) in _ARGUMENTS.items():
            value = getattr(self, option)
            if value is not None:
                out[name] = int(value * factor)
        return out

    @property
    def all_bindings(self) -> list[binding]:
        """Every binding to a named exchange."""
        out = list(self.bindings)
        if self.exchange is not None and self.exchange.name:
            out.insert(0, binding(self.exchange, self.routing_key, self.binding_arguments))
        return out

    def but(self, **changes: Any) -> Queue:
        """A copy with some attributes changed."""
        return replace(self, **changes)


class Broadcast(Queue):
    """A queue of its own for every consumer, bound to one fanout exchange: each worker gets every message.

    Args:
        name: Name of the exchange, and the alias by which routes know the queue.
        queue: Name of the queue; None is ``bcast.`` and an id.
        unique: Add an id to ``queue`` too.
        auto_delete: The queue goes with its consumer.
        exchange: The exchange; None is a durable fanout exchange called ``name``.
        alias: What routes know it by; None is ``name``.
        **options: Further attributes of `Queue`.

    Raises:
        ImproperlyConfigured: The exchange is not a fanout exchange.

    The names are those of ``kombu.common.Broadcast``.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str | None = None,
        queue: str | None = None,
        unique: bool = False,
        auto_delete: bool = True,
        exchange: Exchange | str | None = None,
        alias: str | None = None,
        **options: Any,
    ) -> None:
        if exchange is None or isinstance(exchange, str):
            exchange = Exchange(exchange or name or "", "fanout")
        if exchange.type != "fanout" or not exchange.name:
            raise ImproperlyConfigured(f"Broadcast {name!r} needs a fanout exchange with a name, got {exchange!r}")
        if unique or queue is None:
            queue = f"{queue or 'bcast'}.{uuid4()}"
        super().__init__(queue, exchange, auto_delete=auto_delete, alias=alias or name or exchange.name, **options)

    def but(self, **changes: Any) -> Queue:
        """A copy with some attributes changed; the name of the queue stays."""
        copy = object.__new__(type(self))
        for name in Queue.__match_args__:
            object.__setattr__(copy, name, changes.get(name, getattr(self, name)))
        return copy


def topic_pattern_matches(pattern: str, routing_key: str) -> bool:
    """AMQP topic matching: ``*`` is one word, ``#`` zero or more.

    >>> topic_pattern_matches("stock.#", "stock.usd.nyse")
    True
    >>> topic_pattern_matches("stock.*", "stock.usd.nyse")
    False
    """
    return _match_words(pattern.split("."), routing_key.split(".") if routing_key else [])


def _match_words(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    head, rest = pattern[0], pattern[1:]
    if head == "#":
        return any(_match_words(rest, words[i:]) for i in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _match_words(rest, words[1:])


def matching_queues(exchange_type: str, bindings: Iterable[tuple[str, str]], routing_key: str) -> list[str]:
    """Queues a message reaches, each once.

    Args:
        exchange_type: Type of the exchange.
        bindings: Pairs of binding key and queue name.
        routing_key: Key of the message.
    """
    if exchange_type == "fanout":
        found = [queue for _, queue in bindings]
    elif exchange_type == "topic":
        found = [queue for key, queue in bindings if topic_pattern_matches(key, routing_key)]
    else:
        found = [queue for key, queue in bindings if key == routing_key]
    return list(dict.fromkeys(found))
