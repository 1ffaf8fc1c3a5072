"""What a session needs to know about the queues it consumes, and replies turned into deliveries.

It sends nothing.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from celeriac.broker.envelope import MalformedEnvelope, decode_envelope
from celeriac.drivers.resp import pack_command
from celeriac.message import DeadLetter, Delivery, Message
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.broker.redis.layout import Layout
    from celeriac.broker.topology import Queue
    from celeriac.drivers.resp import Push

_GLOB = str.maketrans({character: f"\\{character}" for character in "*?[]\\"})


@dataclass(frozen=True)
class Broadcast:
    """The tag of a message that came by pub/sub: nothing in the server stands for it.

    Attributes:
        envelope: What came, to be put into a queue if it has to wait.
    """

    envelope: bytes


def escape_glob(text: str) -> str:
    """A pattern of Redis that matches a text only."""
    return text.translate(_GLOB)


class Consumption:
    """The queues a session consumes.

    Args:
        queues: The queues.
        layout: Names of keys.
        order: ``round_robin``, ``sorted`` or ``priority``.

    Attributes:
        names: Names of the queues.
        claim_keys: Delayed sets, then lists step by step: the keys of a claim after the common ones.
        claim_arguments: What a claim gets after its counters.
        watch: Two packed commands that ask to be told of the next change of any of these keys.
        patterns: Channel pattern to the queues that get what comes there.
        ordered: Queues are emptied in their order instead of in turn.
        unacknowledged: Queues to be consumed without acknowledgement.
    """

    def __init__(self, queues: Sequence[Queue], layout: Layout, order: str) -> None:
        chosen = sorted(queues, key=lambda queue: queue.name) if order == "sorted" else list(queues)
        self.queues = chosen
        self.names = [queue.name for queue in chosen]
        self.ordered = order != "round_robin"
        self.unacknowledged = frozenset(queue.name for queue in chosen if queue.no_ack)
        lists = [layout.lists(name) for name in self.names]
        steps = len(layout.suffixes)
        delayed = [layout.delayed(name) for name in self.names]
        self.claim_keys = [*delayed, *(each[step] for step in range(steps) for each in lists)]
        self.claim_arguments: list[str] = []
        for name in self.names:
            self.claim_arguments += (f"{layout.prefix}{name}", unacked_tail(name))
        self.watch = pack_command(("CLIENT", "CACHING", "YES")) + pack_command(("EXISTS", *self.claim_keys))
        self.steps = steps
        self.patterns = _channel_patterns(chosen, layout)
        self.turn = 0


def _channel_patterns(queues: Sequence[Queue], layout: Layout) -> Mapping[bytes, list[str]]:
    """Channel patterns of the fanout exchanges that queues are bound to.

    A binding without a key takes everything, as fanout exchanges do; kombu gives a key the meaning of a pattern.
    """
    found: dict[bytes, list[str]] = {}
    for queue in queues:
        for bound in queue.all_bindings:
            if bound.exchange.type != "fanout":
                continue
            name = escape_glob(bound.exchange.name)
            patterns = [layout.channel_pattern(name, bound.routing_key)]
            if not bound.routing_key and layout.fanout_patterns:
                patterns.append(f"{patterns[0]}/*")
            for pattern in patterns:
                found.setdefault(pattern.encode(), []).append(queue.name)
    return found


def unacked_tail(queue: str) -> str:
    """What follows the envelope in kombu's entry of a claimed message.

    Restored by a Celery worker, it goes to this queue alone, however it was routed at first.
    """
    return f', "", {json.dumps(queue)}]'


def read_claims(reply: Sequence[Any], names: Sequence[str], session_id: int) -> list[Delivery]:
    """The deliveries of a claim's reply."""
    found = []
    for position in range(1, len(reply), 4):
        raw, charged = reply[position + 2], reply[position + 3]
        queue = names[reply[position]]
        try:
            message, exchange, routing_key, redelivered = decode_envelope(raw)
        except MalformedEnvelope as error:
            found.append(_malformed(raw, queue, reply[position + 1], session_id, charged, error))
            continue
        found.append(
            Delivery(
                message, queue, reply[position + 1], session_id, exchange, routing_key,
                charged > 0 or redelivered, charged + 1,
            )
        )  # fmt: skip
    return found


def read_broadcast(push: Push, patterns: Mapping[bytes, list[str]], session_id: int) -> list[Delivery]:
    """The deliveries of a pub/sub message: one for each queue that gets it."""
    pattern, raw = push[1], push[3]
    found = []
    for queue in patterns.get(pattern, ()):
        tag = Broadcast(raw)
        try:
            message, exchange, routing_key, redelivered = decode_envelope(raw)
        except MalformedEnvelope as error:
            found.append(_malformed(raw, queue, tag, session_id, 0, error))
            continue
        found.append(Delivery(message, queue, tag, session_id, exchange, routing_key, redelivered))
    return found


def _malformed(raw: bytes, queue: str, tag: Any, session_id: int, charged: int, error: MalformedEnvelope) -> Delivery:
    return Delivery(
        _opaque(raw), queue, tag, session_id,
        redelivered=charged > 0, deliveries=charged + 1, malformed=str(error),
    )  # fmt: skip


def _opaque(raw: bytes) -> Message:
    return Message(raw, "application/data", "binary", {}, {})


def is_dead_letter_id(name: str) -> bool:
    """Whether an entry of the stream may have this id; the server refuses others."""
    return re.fullmatch(r"\d{1,19}-\d{1,19}", name) is not None


def read_dead_letter(entry: Sequence[Any]) -> DeadLetter:
    """A dead letter from an entry of the stream."""
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
    name = entry[0].decode()
    raw = fields.get(b"envelope", b"")
    details: dict[str, Any] = {"deliveries": int(fields.get(b"deliveries", 1))}
    try:
        message, exchange, routing_key, _ = decode_envelope(raw)
        details |= {"exchange": exchange, "routing_key": routing_key}
    except MalformedEnvelope:
        message = _opaque(raw)
        details["malformed"] = True
    return DeadLetter(
        name,
        fields.get(b"queue", b"").decode("utf-8", "replace"),
        fields.get(b"reason", b"").decode("utf-8", "replace"),
        message,
        int(name.partition("-")[0]) / 1000,
        details,
    )
