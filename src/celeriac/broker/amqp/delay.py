"""Delays kept by RabbitMQ: Celery's native delayed delivery, a cascade of queues of 1, 2, 4 … seconds.

Level *n* is a topic exchange ``celery_delayed_<n>`` and a queue of the same name whose messages live 2ⁿ seconds.  A
message is published with its delay in seconds as the first 28 words of its routing key, one for each bit, the highest
first; at each level it waits when its bit is set and is passed on to the next level, until it comes out at the exchange
``celery_delayed_delivery``.  Names and arguments are those of Celery 5.5 and later, so that both may share them.

What comes behind the bits is one word that nothing else can match.  Celery binds with ``#.<routing key>``, by which a
message for a queue ``high.tasks`` would also reach a queue ``tasks``.

It publishes nothing; sessions do.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from celeriac.broker.amqp.envelope import DELAY_PREFIX
from celeriac.drivers.amqp import Declarations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.broker.topology import Queue

LEVELS: Final = 28
MAX_DELAY: Final = (1 << LEVELS) - 1
DELIVERY_EXCHANGE: Final = f"{DELAY_PREFIX}delivery"
QUEUE_TYPES: Final = ("quorum", "classic")

#: A routing key has at most 255 bytes, and the bits take 56 of them.
_WORD_LENGTH: Final = 190


def level_name(level: int) -> str:
    """Name of the exchange and the queue of a level."""
    return f"{DELAY_PREFIX}{level}"


def whole_seconds(due: float, now: float) -> int:
    """The delay to ask for, rounded down: it is the worker that waits for the rest of a second."""
    return min(int(due - now), MAX_DELAY) if due > now else 0


def delay_route(seconds: int, word: str) -> tuple[str, str]:
    """The exchange and the routing key of a message that is due in a number of seconds.

    It enters at the highest level where it waits: passing the levels above would change nothing.
    """
    bits = ".".join(format(seconds, f"0{LEVELS}b"))
    return level_name(seconds.bit_length() - 1), f"{bits}.{word}"


def queue_word(queue: str) -> str:
    """The word of messages for a queue."""
    return _word("celeriac-queue", queue)


def forward_name(exchange: str, routing_key: str) -> str:
    """The word of messages for a routing key of an exchange, and the name of the queue that forwards them."""
    return _word("celeriac-forward", f"{exchange}:{routing_key}")


def _word(kind: str, name: str) -> str:
    """One word, which has no dots and is no pattern."""
    escaped = name.replace("%", "%25").replace(".", "%2E").replace("*", "%2A").replace("#", "%23")
    if len(escaped.encode()) > _WORD_LENGTH:
        escaped = hashlib.sha256(name.encode()).hexdigest()
    return f"{kind}:{escaped}"


def levels(queue_type: str) -> Declarations:
    """The cascade; declaring it again changes nothing."""
    declarations = Declarations()
    for level in range(LEVELS - 1, -1, -1):
        declarations.exchange(level_name(level), "topic")
    declarations.exchange(DELIVERY_EXCHANGE, "topic")
    for level in range(LEVELS - 1, -1, -1):
        name, following = level_name(level), level_name(level - 1) if level else DELIVERY_EXCHANGE
        arguments = {
            "x-queue-type": queue_type,
            "x-overflow": "reject-publish",
            "x-message-ttl": (1 << level) * 1000,
            "x-dead-letter-exchange": following,
        }
        if queue_type == "quorum":
            arguments["x-dead-letter-strategy"] = "at-least-once"
        declarations.queue(name, arguments=arguments)
        before = "*." * (LEVELS - 1 - level)
        declarations.bind_queue(name, name, f"{before}1.#")
        declarations.bind_exchange(following, name, f"{before}0.#")
    return declarations


def queue_target(queue: str) -> Declarations:
    """Lets delayed messages for a queue reach it."""
    declarations = Declarations()
    declarations.bind_queue(queue, DELIVERY_EXCHANGE, f"#.{queue_word(queue)}")
    return declarations


def exchange_target(exchange: str, routing_key: str) -> Declarations:
    """Lets delayed messages for an exchange reach it with their own routing key, whatever its type.

    They pass a queue in which they expire at once, and dead-lettering gives them the key.
    """
    declarations = Declarations()
    name = forward_name(exchange, routing_key)
    declarations.queue(
        name,
        arguments={
            "x-message-ttl": 0,
            "x-dead-letter-exchange": exchange,
            "x-dead-letter-routing-key": routing_key,
        },
    )
    declarations.bind_queue(name, DELIVERY_EXCHANGE, f"#.{name}")
    return declarations


def consumer_targets(queues: Iterable[Queue]) -> Declarations:
    """What a consumer binds: its queues, for us, and as Celery does it, for producers that are Celery's.

    Celery delays messages to exchanges other than direct ones only, and keeps the bits in the routing key.
    """
    declarations = Declarations()
    for queue in queues:
        declarations.bind_queue(queue.name, DELIVERY_EXCHANGE, f"#.{queue_word(queue.name)}")
        for bound in queue.all_bindings:
            if bound.exchange.type != "direct":
                pattern = f"#.{bound.routing_key}"
                declarations.bind_exchange(bound.exchange.name, DELIVERY_EXCHANGE, pattern)
                declarations.bind_queue(queue.name, bound.exchange.name, pattern)
    return declarations
