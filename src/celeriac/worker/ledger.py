"""Every delivery the worker holds and has not settled.  Touched on the coordinator's loop only."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from celeriac.utils.dataclass import dataclass

#: Task id and number of retries.
Identity: TypeAlias = tuple[str, str]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celeriac.execution.job import Job
    from celeriac.message import Delivery
    from celeriac.pool.base import Slot
    from celeriac.typing import Headers


@dataclass(eq=False)
class Entry:
    """One delivery on its way through the worker.

    Attributes:
        seq: The worker's number for it.
        delivery: What the broker handed over; replaced when the message is adopted after a reconnect.
        plan: The task's settings.
        job: What goes to the pool.
        task_id: Id of the task.
        late: It is acknowledged after it ran.
        acked: It has been acknowledged.
        orphaned: Its session is gone: it cannot be settled unless its message is delivered again.
        slot: Where it was sent.
        cost: Seconds it was expected to take.
        began_at: Unix time it began, when that was announced.
        sent_at: Unix time it was sent to its slot.
        timed_out: Its hard time limit passed and its process was killed for it.
        terminated: It was revoked, and its process was sent this signal for it.
        rate_limited: It is held for a rate limit.
        cancelled: Its connection was lost, and its process was ended for it.
    """

    seq: int
    delivery: Delivery
    plan: Any
    job: Job
    task_id: str
    late: bool
    acked: bool = False
    orphaned: bool = False
    slot: Slot | None = None
    cost: float = 0.0
    began_at: float | None = None
    sent_at: float | None = None
    timed_out: bool = False
    terminated: int | None = None
    rate_limited: bool = False
    cancelled: bool = False

    @property
    def id(self) -> str:
        """Id of the task, as receivers of ``task_received`` ask for it."""
        return self.task_id

    @property
    def delivery_info(self) -> dict[str, Any]:
        """How its message came."""
        return self.job.delivery_info

    @property
    def name(self) -> str:
        """Name of the task."""
        return str(self.job.headers["task"])


class _Unsettled(NamedTuple):
    """A settlement that a lost session left undone.

    Attributes:
        verb: The command; None where there was none, because it had not begun.
        until: Monotonic time at which it is forgotten.
        certain: It is known to be undone; else it may have been carried out.
        deliveries: How often the message had been delivered.
    """

    verb: str | None
    until: float
    certain: bool
    deliveries: int


class Ledger:
    """Entries by number, and those whose session is gone by the identity of their message.

    A message that is delivered again while, or after, it ran here is *adopted*: the entry gets the new delivery, and
    nothing runs twice.

    Attributes:
        entries: Entries by number. Whoever takes one out that is orphaned does so by `remove`.
    """

    #: Settlements remembered for messages whose session was lost before they could be settled.
    MAX_UNSETTLED = 10_000
    #: Seconds they are remembered: longer than a lease and a sweep, and no longer than needed, because a task that is
    #: published anew under the same id must run.
    UNSETTLED_SECONDS = 120.0

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self._running_orphans: dict[Identity, Entry] = {}
        self._unsettled: dict[Identity, _Unsettled] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self.entries.values()))

    def remove(self, entry: Entry) -> None:
        """Forget an entry."""
        self.entries.pop(entry.seq, None)
        if entry.orphaned:
            self._running_orphans.pop(identity(entry.delivery.message.headers), None)

    def orphan(self, session_id: int) -> list[Entry]:
        """Mark the entries of a lost session; returns them."""
        lost = [entry for entry in self.entries.values() if entry.delivery.session_id == session_id]
        for entry in lost:
            entry.orphaned = True
            self._running_orphans[identity(entry.delivery.message.headers)] = entry
        return lost

    def remember(self, delivery: Delivery, verb: str) -> None:
        """Keep what was to be done with a message, for when it is delivered again."""
        self._keep(identity(delivery.message.headers), verb, deliveries=delivery.deliveries)

    def remember_in_doubt(self, headers: Headers) -> None:
        """Keep that a message was acknowledged, for when it turns out that its broker never learned of it.

        A message that is not marked as redelivered is another one then: published anew, under the same id.
        """
        self._keep(identity(headers), "ack", certain=False)

    def remember_unbegun(self, delivery: Delivery) -> None:
        """Keep that a message did not begin, whose broker counts the delivery when the session is lost.

        Else a broker that is restarted often would have its messages set aside as if they ended their workers.
        """
        self._keep(identity(delivery.message.headers), None, deliveries=delivery.deliveries)

    def _keep(self, key: Identity, verb: str | None, *, certain: bool = True, deliveries: int = 1) -> None:
        self._unsettled.pop(key, None)
        self._unsettled[key] = _Unsettled(verb, time.monotonic() + self.UNSETTLED_SECONDS, certain, deliveries)
        while len(self._unsettled) > self.MAX_UNSETTLED:
            del self._unsettled[next(iter(self._unsettled))]

    @property
    def awaits_redelivery(self) -> bool:
        """A lost session left something behind.

        Then every delivery is looked at: one that was given back uncharged is not marked as redelivered.
        """
        return bool(self._running_orphans or self._unsettled)

    def adopt(self, delivery: Delivery) -> tuple[Entry | None, str | None]:
        """Match a delivery with what a lost session left behind; one that had not begun gets its old count back.

        Returns:
            The entry that is running it and now holds this delivery, or None; and the command that was to settle it,
            or None.
        """
        key = identity(delivery.message.headers)
        entry = self._running_orphans.pop(key, None)
        if entry is not None:
            entry.delivery, entry.orphaned = delivery, False
            return entry, None
        now = time.monotonic()
        while self._unsettled and now >= next(iter(self._unsettled.values())).until:
            del self._unsettled[next(iter(self._unsettled))]
        unsettled = self._unsettled.get(key)
        if unsettled is None or not (unsettled.certain or delivery.redelivered):
            return None, None
        del self._unsettled[key]
        if unsettled.verb is None:
            delivery.deliveries = min(delivery.deliveries, unsettled.deliveries)
        return None, unsettled.verb


def identity(headers: Headers) -> Identity:
    """What two deliveries of one message have in common; a retry is another message."""
    return str(headers.get("id")), str(headers.get("retries") or 0)
