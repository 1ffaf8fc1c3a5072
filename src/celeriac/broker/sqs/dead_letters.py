"""Messages that were set aside: a queue of their own, each as it was, with an attribute that tells the story."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.sqs.holding import as_delivery, read
from celeriac.broker.sqs.service import BATCH, Outgoing
from celeriac.message import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from celeriac.broker.sqs.holding import Held
    from celeriac.broker.sqs.service import Service
    from celeriac.message import Delivery

#: The queue, before its prefix.
QUEUE: Final = "celeriac.dead"
#: The longest time for which the service keeps a message: 14 days.
RETENTION: Final = {"MessageRetentionPeriod": str(14 * 24 * 3600)}
STORY: Final = "celeriac.dead"
#: Seconds for which a message is hidden from others while it is looked at.
_LOOKED_AT: Final = 30


def entry(held: Held, delivery: Delivery, reason: str) -> Outgoing:
    """What is kept of a message."""
    story = {
        "queue": held.queue,
        "reason": reason,
        "dead_at": time.time(),
        "exchange": delivery.exchange,
        "routing_key": delivery.routing_key,
        "deliveries": delivery.deliveries,
    }
    if delivery.malformed is not None:
        story["malformed"] = delivery.malformed
    text = json.dumps(story)
    return Outgoing(held.body, 0, {**held.attributes, STORY: {"DataType": "String", "StringValue": text}})


def newest(service: Service, limit: int) -> list[DeadLetter]:
    """Dead letters, newest first. While somebody looks, others see less."""
    found = [_letter(message) for message in _all(service, frozenset())]
    return sorted(found, key=lambda letter: letter.dead_at, reverse=True)[:limit]


def remove(service: Service, ids: Collection[str]) -> int:
    """Delete some; returns how many were there."""
    return sum(message["MessageId"] in ids for message in _all(service, frozenset(ids))) if ids else 0


def _all(service: Service, doomed: frozenset[str]) -> Iterator[dict[str, Any]]:
    """Each dead letter; then those that are doomed are deleted, and the others shown again."""
    seen: list[dict[str, Any]] = []
    expected, _ = service.counts(QUEUE)
    try:
        while len(seen) < expected:
            page = service.receive(QUEUE, BATCH, hidden=_LOOKED_AT, wait=1)
            if not page:
                break
            seen += page
            yield from page
    finally:
        for start in range(0, len(seen), BATCH):
            page = seen[start : start + BATCH]
            gone = [message["ReceiptHandle"] for message in page if message["MessageId"] in doomed]
            kept = [message["ReceiptHandle"] for message in page if message["MessageId"] not in doomed]
            if gone:
                service.delete(QUEUE, gone)
            if kept:
                service.hide(QUEUE, kept, 0)


def _letter(message: dict[str, Any]) -> DeadLetter:
    held = read(QUEUE, message, 0.0)
    story: dict[str, Any] = {}
    attribute = held.attributes.get(STORY)
    if attribute is not None:
        story = json.loads(attribute["StringValue"])
    return DeadLetter(
        str(message["MessageId"]),
        str(story.pop("queue", QUEUE)),
        str(story.pop("reason", "")),
        as_delivery(held, 0, 0).message,
        float(story.pop("dead_at", 0.0)),
        story,
    )
