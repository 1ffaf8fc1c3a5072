"""What crosses the boundary of a pool: a job going in, an outcome coming back.  No behaviour beyond packing."""

from __future__ import annotations

from typing import Any, Final

from celeriac.utils.dataclass import dataclass

#: Kinds of outcome.
SUCCEEDED: Final = 0
FAILED: Final = 1
RETRIED: Final = 2
IGNORED: Final = 3
REJECTED: Final = 4
REQUEUED: Final = 5
#: The payload cannot be decoded, or names a task this process does not know.
REFUSED: Final = 6
#: The process running it died.
LOST: Final = 7
#: Killed at its hard time limit.
TIMED_OUT: Final = 8
#: It was told to end, and did; nothing is recorded of it.
CANCELLED: Final = 9

KIND_NAMES: Final = (
    "succeeded", "failed", "retried", "ignored", "rejected", "requeued", "refused", "lost", "timed out",
    "cancelled",
)  # fmt: skip


@dataclass
class Job:
    """One task for a slot.

    Attributes:
        seq: The pool's number for it, ascending.
        headers: Message headers (protocol 2).
        properties: Message properties.
        body: Serialized payload.
        content_type: MIME type of the payload.
        content_encoding: Encoding of the payload.
        delivery_info: ``exchange``, ``routing_key``, ``priority``, ``redelivered``.
        soft_limit: Soft time limit in seconds, or None.
        hard_limit: Hard time limit in seconds, or None.
        announce: Report when it begins, not only when it ends.
        events: Report what becomes of it, for those who listen to events.
        tag: The broker's, of a message that was relayed and is acknowledged when it has ended; None of others.
        began_at: Monotonic time at which that was reported; set where it runs.
    """

    seq: int
    headers: dict[str, Any]
    properties: dict[str, Any]
    body: bytes
    content_type: str
    content_encoding: str
    delivery_info: dict[str, Any]
    soft_limit: float | None = None
    hard_limit: float | None = None
    announce: bool = False
    events: bool = False
    tag: bytes | None = None
    began_at: float = 0.0

    def pack(self) -> tuple[Any, ...]:
        """Fields in order; ``Job(*packed)`` is the way back."""
        return (
            self.seq,
            self.headers,
            self.properties,
            self.body,
            self.content_type,
            self.content_encoding,
            self.delivery_info,
            self.soft_limit,
            self.hard_limit,
            self.announce,
            self.events,
            self.tag,
        )


@dataclass
class Outcome:
    """How a job ended.

    Attributes:
        seq: Number of the job.
        kind: One of the constants of this module.
        runtime: Seconds the task's own code took.
        detail: Reason of a rejection or failure, for the worker's log; None otherwise.
    """

    seq: int
    kind: int
    runtime: float
    detail: str | None = None
