"""Who hears a fanout exchange: a queue beside it that nothing is published to, and whose consumers RabbitMQ counts.

RabbitMQ does not tell how many queues got a message.  Sessions of kombu do not consume this queue, and are not counted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from celeriac.broker.topology import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_presence", "presence_queue", "presence_queues"]

#: Seconds for which the queue stays when nobody consumes it.
_EXPIRES = 60.0
_PREFIX = "celeriac.hears."


@lru_cache(maxsize=64)
def presence_queue(exchange: str) -> Queue:
    """The queue that is consumed by those who hear an exchange."""
    return Queue(f"{_PREFIX}{exchange}", expires=_EXPIRES)


def presence_queues(queues: Iterable[Queue]) -> list[Queue]:
    """Those of the fanout exchanges that some queues are bound to."""
    names = {bound.exchange.name for queue in queues for bound in queue.all_bindings if bound.exchange.type == "fanout"}
    return [presence_queue(name) for name in sorted(names)]


def is_presence(queue: Queue) -> bool:
    """Whether it is such a queue, which needs no prefetching."""
    return queue.name.startswith(_PREFIX)
