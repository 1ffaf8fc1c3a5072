"""Ready entries to free slots, in batches as large as short tasks allow and no larger.  Runs on the loop.

A slot is given more than it can run at once only while the work ahead of it is expected to take less than
`HORIZON` seconds; a task never seen before counts as long.  When a slot runs dry while another holds jobs it has not
begun, those are recalled.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from celeriac.pool.base import Slot
from celeriac.worker.pace import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.message import Delivery
    from celeriac.pool.base import Pool
    from celeriac.worker.ledger import Entry, Ledger
    from celeriac.worker.pace import Estimates

#: Seconds of expected work that may be queued in front of a slot.
HORIZON = 0.010
#: Jobs that may be queued in front of a slot.
MAX_AHEAD = 128
#: A job running this many seconds is worth a recall of what waits behind it.
RECALL_AFTER = 0.010


#: Stands for slots that are gone.
_NOWHERE = Slot(0)


class Dispatcher:
    """Owner of the ready queue.

    Args:
        pool: Where jobs run.
        ledger: Entries by number.
        estimates: Expected run times.
        acknowledge: Acknowledges entries early, then calls back for each.
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        estimates: Estimates,
        acknowledge: Callable[[Sequence[Entry], Callable[[Entry], None]], None],
    ) -> None:
        self._pool = pool
        self._acknowledge = acknowledge
        # Entries reserved for a slot until the broker has confirmed their early acknowledgement.
        self._reserved: defaultdict[Slot, dict[int, Entry]] = defaultdict(dict)
        self._ledger = ledger
        self._estimates = estimates
        self._ready: deque[Entry] = deque()
        self._ahead: defaultdict[Slot, float] = defaultdict(float)
        self._last_outcome: dict[Slot, float] = {}
        self.paused = False

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, entries: Iterable[Entry]) -> None:
        """Queue entries at the back; call `pump` afterwards."""
        self._ready.extend(entries)

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Queue entries at the front, in their order."""
        for entry in entries:
            entry.slot = None
        self._ready.extendleft(reversed(entries))

    def drain(self) -> list[Entry]:
        """Take out every entry that has not been sent to a slot."""
        found = list(self._ready)
        self._ready.clear()
        return found

    def take_newest(self, count: int) -> list[Entry]:
        """Take out those that came last, in their order, of the entries that have not been sent to a slot."""
        ready = self._ready
        found: list[Entry] = []
        while ready and len(found) < count and not ready[-1].acked:
            found.append(ready.pop())
        return found[::-1]

    def drain_orphans(self) -> list[Entry]:
        """Take out the waiting entries of lost sessions."""
        found = [entry for entry in self._ready if entry.orphaned and not entry.acked]
        self._ready = deque(entry for entry in self._ready if not entry.orphaned or entry.acked)
        return found

    def finished(self, slot: Slot, entries: Iterable[Entry]) -> None:
        """Entries left their slot."""
        done = sum([entry.cost for entry in entries])
        self._ahead[slot] = max(0.0, self._ahead[slot] - done) if slot.assigned else 0.0
        self._last_outcome[slot] = time.monotonic()

    def forget(self, slot: Slot) -> None:
        """A slot lost its process: nothing is ahead of it."""
        self._ahead[slot] = 0.0

    def remove(self, slot: Slot) -> None:
        """A slot is gone for good; what the broker still confirms for it goes elsewhere."""
        self._ahead.pop(slot, None)
        self._last_outcome.pop(slot, None)
        for entry in self._reserved.pop(slot, {}).values():
            self._reserved[_NOWHERE][entry.seq] = entry
            entry.slot = _NOWHERE

    def pump(self) -> None:
        """Send what can be sent."""
        if self.paused:
            return
        ready = self._ready
        while ready:
            hungry = [slot for slot in self._pool.slots if self._takes(slot)]
            if not hungry:
                return
            share = -(-len(ready) // len(hungry))
            sent = 0
            for slot in sorted(hungry, key=lambda slot: self._ahead[slot]):
                sent += self._fill(slot, share)
            if not sent:
                return

    def _takes(self, slot: Slot) -> bool:
        """A slot with nothing to do, or with little of it left."""
        if not slot.ready:
            return False
        held = len(slot.assigned) + len(self._reserved[slot])
        return held < slot.capacity or (held < MAX_AHEAD // 2 and self._ahead[slot] < HORIZON / 2)

    def _fill(self, slot: Slot, share: int) -> int:
        """Send up to ``share`` entries to a slot; returns how many."""
        ready, ahead, costs = self._ready, self._ahead[slot], self._estimates.costs
        held = len(slot.assigned) + len(self._reserved[slot])
        room = self._pool.room(slot)
        limit = min(share, max(MAX_AHEAD, slot.capacity) - held, len(ready) if room is None else room)
        batch: list[Entry] = []
        now = time.time()
        while ready and len(batch) < limit:
            entry = ready[0]
            cost = costs.get(entry.plan.name, UNKNOWN)
            if held + len(batch) >= slot.capacity and ahead + cost > HORIZON:
                break
            ready.popleft()
            entry.slot, entry.cost, entry.sent_at = slot, cost, now
            ahead += cost
            batch.append(entry)
        if batch:
            self._ahead[slot] = ahead
            if held == 0:
                self._last_outcome[slot] = time.monotonic()
            self._send(slot, batch)
        return len(batch)

    def _send(self, slot: Slot, batch: list[Entry]) -> None:
        """Submit; what is to be acknowledged early waits for the broker to confirm that."""
        early = [entry for entry in batch if not entry.late and not entry.acked]
        if early:
            self._reserved[slot].update((entry.seq, entry) for entry in early)
            self._acknowledge(early, self._on_acknowledged)
            batch = [entry for entry in batch if entry.late or entry.acked]
        if batch:
            self._pool.submit(slot, [entry.job for entry in batch])

    def _on_acknowledged(self, entry: Entry) -> None:
        """The broker will not deliver this entry again: it may begin."""
        slot = entry.slot
        entry.acked = True
        if slot is None or self._reserved[slot].pop(entry.seq, None) is None:
            return
        if slot.ready:
            self._pool.submit(slot, [entry.job])
        else:
            self.put_back([entry])
            self.pump()

    def drop_unacknowledged(self, delivery: Delivery) -> bool:
        """Forget a reserved entry whose acknowledgement got lost: run here, it might run twice.

        Returns:
            There was one.
        """
        for entries in self._reserved.values():
            for entry in entries.values():
                if entry.delivery is delivery:
                    del entries[entry.seq]
                    self._ledger.remove(entry)
                    return True
        return False

    def rebalance(self) -> float | None:
        """Recall what waits behind a long job while another slot idles.

        Returns:
            Seconds after which it is worth looking again, or None: nothing waits behind anything.
        """
        if self._ready or self.paused or not any(s.ready and not s.assigned for s in self._pool.slots):
            return None
        now, soonest = time.monotonic(), None
        for slot in self._pool.slots:
            if len(slot.assigned) <= slot.capacity:
                continue
            wait = self._last_outcome.get(slot, now) + RECALL_AFTER - now
            if wait <= 0:
                self.put_back(self._recall(slot))
            else:
                soonest = wait if soonest is None else min(soonest, wait)
        self.pump()
        return soonest

    def recall(self, slot: Slot) -> None:
        """Take back what has not begun in a slot, and queue it at the front."""
        self.put_back(self._recall(slot))

    def take(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        """Take out some of the entries that have not been sent to a slot."""
        found = [entry for entry in self._ready if wanted(entry)]
        if found:
            self._ready = deque(entry for entry in self._ready if not wanted(entry))
        return found

    def recall_all(self) -> list[Entry]:
        """Take back everything that has not begun."""
        return [entry for slot in self._pool.slots for entry in self._recall(slot)]

    def _recall(self, slot: Slot) -> list[Entry]:
        get = self._ledger.entries.get
        recalled = [entry for seq in self._pool.recall(slot) if (entry := get(seq)) is not None]
        self._ahead[slot] = sum(entry.cost for seq in slot.assigned if (entry := get(seq)) is not None)
        return recalled
