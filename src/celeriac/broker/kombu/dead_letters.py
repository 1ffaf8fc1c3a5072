"""Messages that were set aside: a queue of their own, each with a mark that tells the story."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.kombu.held import Payload
from celeriac.message import DeadLetter
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Collection

    from celeriac.broker.kombu.held import Held
    from celeriac.broker.kombu.link import Link

#: The queue.
QUEUE: Final = "celeriac.dead"


def entry(held: Held, reason: str) -> Payload:
    """What is kept of a message."""
    story: dict[str, Any] = {
        "id": uuid4(),
        "queue": held.queue,
        "reason": reason,
        "dead_at": time.time(),
        "exchange": held.exchange,
        "routing_key": held.routing_key,
        "deliveries": held.charged + 1,
    }
    if held.malformed is not None:
        story["malformed"] = held.malformed
    return Payload(held.message, "", QUEUE, {"dead": story})


def newest(link: Link, limit: int) -> list[DeadLetter]:
    """Dead letters, newest first. While somebody looks, others see less."""
    found: list[DeadLetter] = []

    def look(held: Held) -> bool:
        found.append(_letter(held))
        return True

    link.rotate(QUEUE, look)
    return sorted(found, key=lambda letter: -letter.dead_at)[:limit]


def remove(link: Link, ids: Collection[str]) -> int:
    """Delete some; returns how many were there."""
    removed = 0

    def look(held: Held) -> bool:
        nonlocal removed
        doomed = _letter(held).id in ids
        removed += doomed
        return not doomed

    if ids:
        link.rotate(QUEUE, look)
    return removed


def _letter(held: Held) -> DeadLetter:
    story = dict(held.marks.get("dead") or {})
    return DeadLetter(
        str(story.pop("id", "")),
        str(story.pop("queue", QUEUE)),
        str(story.pop("reason", "")),
        held.message,
        float(story.pop("dead_at", 0.0)),
        story,
    )
