"""Routing for brokers that have no server to route: which queues a publication reaches, and what queues need.

It stores nothing; each driver keeps the bindings where its messages are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.broker.topology import matching_queues
from celeriac.exceptions import ImproperlyConfigured, Unroutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.broker.topology import Queue
    from celeriac.message import Destination, Message, Publication

#: Queue arguments that choose how RabbitMQ stores a queue.  They change nothing that a client could observe
#: here: every queue orders by priority, and keeps its messages as its broker does.
_STORAGE_ARGUMENTS = frozenset(
    {"x-max-priority", "x-queue-type", "x-queue-mode", "x-queue-version", "x-quorum-initial-group-size"}
)
#: Arguments that these brokers implement themselves.
_LIFETIME_ARGUMENTS = frozenset({"x-expires", "x-message-ttl"})


class BindingRow(NamedTuple):
    """One binding, as stored: an exchange of a type sends what matches a key to a queue."""

    exchange: str
    type: str
    binding_key: str
    queue: str


class Lifetime(NamedTuple):
    """How long a queue and its messages live; None is for ever.

    Attributes:
        expires: Seconds of disuse after which the queue goes.
        message_ttl: Seconds a message may wait in it.
        transient: The queue goes with the session that consumes it.
    """

    expires: float | None
    message_ttl: float | None
    transient: bool


#: A queue and messages that live for ever.
UNLIMITED = Lifetime(None, None, False)


def check_queue(queue: Queue, driver: str) -> Lifetime:
    """What is asked of a queue, once it is certain that the driver can give it.

    Args:
        queue: A queue about to be declared.
        driver: Name of the broker, for messages.

    Raises:
        ImproperlyConfigured: An argument or a type of exchange has no meaning on this broker.
    """
    arguments = queue.arguments
    for name in arguments:
        if name not in _STORAGE_ARGUMENTS and name not in _LIFETIME_ARGUMENTS:
            raise ImproperlyConfigured(
                f"queue {queue.name!r} has the argument {name}={arguments[name]!r}, which the {driver} "
                f"broker does not implement; remove it from task_queues or use RabbitMQ"
            )
    for bound in queue.all_bindings:
        if bound.exchange.type not in ("direct", "topic", "fanout"):
            raise ImproperlyConfigured(
                f"queue {queue.name!r} is bound to exchange {bound.exchange.name!r} of type "
                f"{bound.exchange.type!r}; the {driver} broker routes direct, topic and fanout exchanges only"
            )
    return Lifetime(
        _seconds(arguments.get("x-expires")),
        _seconds(arguments.get("x-message-ttl")),
        queue.auto_delete or queue.exclusive,
    )


def binding_rows(queue: Queue) -> list[BindingRow]:
    """The bindings of a queue as rows; a queue without a name stands for its exchanges, which are kept nowhere."""
    if not queue.name:
        return []
    return [
        BindingRow(bound.exchange.name, str(bound.exchange.type), bound.routing_key, queue.name)
        for bound in queue.all_bindings
    ]


def route(publication: Publication, bindings_of: Callable[[str], Iterable[BindingRow]], driver: str) -> list[str]:
    """Names of the queues a publication goes to, each once.

    Args:
        publication: What is published.
        bindings_of: Gives the bindings of a named exchange.
        driver: Name of the broker, for messages.

    Raises:
        Unroutable: It is mandatory and reaches no queue.
    """
    destination = publication.destination
    if not destination.exchange:
        return [destination.routing_key]
    queues = _matching(destination, list(bindings_of(destination.exchange)))
    if not queues and publication.mandatory:
        raise Unroutable(
            f"the {driver} broker has no queue bound to exchange {destination.exchange!r} for routing key "
            f"{destination.routing_key!r}; declare a queue with this binding first"
        )
    return queues


def _matching(destination: Destination, rows: list[BindingRow]) -> list[str]:
    if not rows:
        return []
    pairs = [(row.binding_key, row.queue) for row in rows]
    return matching_queues(rows[0].type, pairs, destination.routing_key)


def priority_of(message: Message) -> int:
    """The priority of a message: higher goes first, 0 when it has none."""
    value = message.properties.get("priority")
    return int(value) if isinstance(value, int | float) else 0


def check_sizes(publications: Iterable[Publication], limit: int) -> None:
    """Refuse bodies that are larger than clients may publish.

    Raises:
        ImproperlyConfigured: One is.
    """
    for publication in publications:
        size = len(publication.message.body)
        if size > limit:
            raise ImproperlyConfigured(
                f"the message body has {size:,} bytes and may have {limit:,}: pass a reference to "
                f"the data instead of the data, or raise max_body_size"
            )


def _seconds(milliseconds: Any) -> float | None:
    return None if milliseconds is None else float(milliseconds) / 1000
