"""Acts on what is revoked: takes it out of what waits, ends what runs.  Runs on the coordinator's loop."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from celeriac.worker.revoked import message_stamps
from celeriac.worker.time_limits import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from celeriac.pool.base import Pool
    from celeriac.worker.dispatcher import Dispatcher
    from celeriac.worker.holding import Holding
    from celeriac.worker.ledger import Entry, Ledger
    from celeriac.worker.revoked import RevokedTasks, Stamp

logger = logging.getLogger("celeriac.worker.control")


class Revoking:
    """Revokes the tasks of one worker.

    Args:
        revoked: What is revoked.
        pool: Where tasks run.
        ledger: What is held.
        dispatcher: What waits for a slot.
        holding: What waits for its time.
        withdraw: Records that an entry was revoked, which is out of the ledger, and settles its message.
    """

    def __init__(
        self,
        revoked: RevokedTasks,
        pool: Pool,
        ledger: Ledger,
        dispatcher: Dispatcher,
        holding: Holding,
        withdraw: Callable[[Entry], None],
    ) -> None:
        self.revoked = revoked
        self._pool = pool
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._holding = holding
        self._withdraw = withdraw

    def revoke_ids(self, ids: Sequence[str]) -> list[Entry]:
        """Let tasks run no more; returns those of them that run already."""
        self.revoked.add_ids(ids)
        wanted = set(ids)
        return self._discard(lambda entry: entry.task_id in wanted)

    def revoke_stamps(self, stamps: Iterable[Stamp]) -> list[Entry]:
        """Let tasks run no more that carry one of these stamps; returns those of them that run already."""
        wanted = set(stamps)
        self.revoked.add_stamps(wanted)
        return self._discard(lambda entry: not wanted.isdisjoint(message_stamps(entry.job.headers)))

    def _discard(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        found = [entry for entry in self._ledger if wanted(entry)]
        if not found:
            return []
        for slot in {entry.slot for entry in found if entry.slot is not None}:
            self._dispatcher.recall(slot)
        waiting = [*self._dispatcher.take(wanted), *self._holding.take(wanted)]
        for entry in waiting:
            self._ledger.remove(entry)
            self._withdraw(entry)
        self._dispatcher.pump()
        return [entry for entry in found if entry not in waiting and entry.slot is not None]

    def terminate(self, entries: Iterable[Entry], number: int) -> list[str]:
        """End tasks that run, with their process where it is their own; returns their ids.

        Raises:
            NotImplementedError: The pool cannot end one task and leave others alone.
        """
        ended = []
        for entry in entries:
            slot = entry.slot
            # The last one that has begun is the one that runs; those before it are about to be reported.
            if slot is None or (slot.capacity == 1 and next(reversed(slot.assigned), None) != entry.seq):
                continue
            if not self._pool.ends_single_jobs:
                raise NotImplementedError(
                    f"the pool {self._pool.name} cannot end the task {entry.task_id}, which shares its process with "
                    "others; it will not be started again"
                )
            entry.terminated = number
            if self._pool.terminate(slot, entry.seq, number):
                logger.info("Terminating %s (%s)", entry.task_id, number)
                ended.append(entry.task_id)
                asyncio.get_running_loop().call_later(PATIENCE, self._look_after, entry, number)
        return ended

    def _look_after(self, entry: Entry, number: int) -> None:
        """See to a task that did not end: it may suppress its cancellation, or let no other code of its process run."""
        slot = entry.slot
        if slot is None or self._ledger.entries.get(entry.seq) is not entry or entry.seq not in slot.assigned:
            return
        if number == signal.SIGKILL:
            logger.warning("%s did not end: its process is killed, with all that runs in it", entry.task_id)
            self._pool.interrupt(slot, signal.SIGKILL)
        else:
            logger.warning(
                "%s has not ended %g s after it was told to (%s); SIGKILL ends its process, with all that runs in it",
                entry.task_id, PATIENCE, signal.Signals(number).name,
            )  # fmt: skip


def signal_number(given: str | int | None) -> int:
    """The number of a signal that is given by name or number.

    Raises:
        ValueError: There is no such signal.
    """
    if given is None:
        return int(signal.SIGTERM)
    try:
        if isinstance(given, int) or given.isdigit():
            return int(signal.Signals(int(given)))
        name = given.upper()
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError):
        raise ValueError(f"there is no signal {given!r}: give a name such as SIGTERM, or a number") from None
