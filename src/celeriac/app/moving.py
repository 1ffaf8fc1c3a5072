"""Messages from one broker, or queue, to another.  Which ones, and where to, is said by whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.app.base import Celery
    from celeriac.broker.base import BrokerSession
    from celeriac.message import Delivery, Publication

__all__ = ["Moving", "move"]


@dataclass
class Moving:
    """What goes where.

    Attributes:
        queues: Names of the queues they come from.
        choose: What to publish for a message; None leaves it where it is. It is not asked about messages that cannot
            be read.
        limit: At most so many messages; None takes all.
        timeout: Seconds to wait for another message.
        forever: Go on waiting.
        removes: Remove from the source what the destination has accepted.
        batch: Messages claimed and published together.
        done: Claim no more.
    """

    queues: Sequence[str]
    choose: Callable[[Delivery], Publication | None]
    limit: int | None = None
    timeout: float = 1.0
    forever: bool = False
    removes: bool = False
    batch: int = 100
    done: bool = False


def move(app: Celery, source: BrokerSession, destination: BrokerSession, wanted: Moving) -> Iterator[Delivery]:
    """Publish what waits at a source to a destination.

    A message is removed from the source only after the destination has accepted it, so that a crash between the two
    leaves it in both. What is not removed is held until the source's session is closed, else it would come again.

    Args:
        app: Knows the queues.
        source: Session to take from.
        destination: Session to publish to.
        wanted: What goes where.

    Yields:
        Each message, after the destination has accepted it.
    """
    source.consume([app.queues.get_or_create(name) for name in wanted.queues])
    room = wanted.batch if wanted.limit is None else wanted.limit
    moved = 0
    while room > 0 and not wanted.done:
        held = source.fetch(limit=min(wanted.batch, room), wait=wanted.timeout)
        if not held and not wanted.forever:
            return
        source.heartbeat()
        readable = [delivery for delivery in held if delivery.malformed is None]
        chosen = [(delivery, made) for delivery in readable if (made := wanted.choose(delivery)) is not None]
        destination.publish_many([publication for _, publication in chosen])
        deliveries = [delivery for delivery, _ in chosen]
        if wanted.removes:
            source.ack_many(deliveries, confirm=True)
        yield from deliveries
        moved += len(deliveries)
        room = wanted.batch if wanted.limit is None else wanted.limit - moved
