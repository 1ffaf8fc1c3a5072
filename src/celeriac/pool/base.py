"""The port every pool implements, and the slot: a place where jobs run.  No policy about which job goes where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.base import RelayAddress
    from celeriac.execution.job import Job
    from celeriac.execution.relaying import Relayed


@dataclass(eq=False)
class Slot:
    """A place for jobs: a child process, or this process's main thread.

    All attributes are written and read on the coordinator's loop only.

    Attributes:
        index: Number of the slot, from 1; a replaced child keeps it.
        capacity: Jobs that may run in it at once.
        ready: It takes jobs.
        retiring: It finishes what it has and is then replaced.
        pid: Process it runs in.
        assigned: Submitted jobs that have no outcome yet, by number, in order.
        started_jobs: Jobs given to its present process.
    """

    index: int
    capacity: int = 1
    ready: bool = False
    retiring: bool = False
    pid: int = 0
    assigned: dict[int, Job] = field(default_factory=dict)
    started_jobs: int = 0


class PoolListener(Protocol):
    """What a pool tells the worker; always called on the coordinator's loop."""

    def on_slot_ready(self, slot: Slot) -> None:
        """A slot takes jobs now."""
        ...

    def on_begun(self, slot: Slot, seq: int, at: float) -> None:
        """A job with ``announce`` began at a Unix time."""
        ...

    def on_outcomes(self, slot: Slot, outcomes: Sequence[tuple[int, int, float, str | None]]) -> None:
        """Jobs ended: number, kind, runtime in seconds, detail."""
        ...

    def on_events(self, events: Sequence[tuple[str, float, Any]]) -> None:
        """Jobs with ``events`` report: types, Unix times and fields; called before the outcomes of these jobs come."""
        ...

    def on_slot_lost(
        self, slot: Slot, running: Sequence[int], finished: Sequence[int], unbegun: Sequence[int], reason: str
    ) -> None:
        """The process of a slot died with jobs assigned.

        Args:
            slot: The slot.
            running: Jobs that were running.
            finished: Jobs that had begun before those: they ran to their end, but were not reported.
            unbegun: Jobs that had certainly not begun.
            reason: How it died, as in ``signal 9 (SIGKILL)``.
        """
        ...

    def on_slot_removed(self, slot: Slot) -> None:
        """A slot is gone for good; it had no jobs any more."""
        ...

    def on_pool_failed(self, reason: str) -> None:
        """The pool cannot go on."""
        ...


class RelayListener(Protocol):
    """What such a pool tells of relayed messages; always called on the coordinator's loop."""

    def on_relayed(self, relayed: Relayed) -> None:
        """A child has published a message that is held for this worker."""
        ...

    def on_relay_broken(self, pid: int) -> None:
        """The child with this process id died: it may have relayed a message and not told of it."""
        ...


@runtime_checkable
class Relaying(Protocol):
    """A pool whose children relay messages to the session of their worker."""

    def relay_to(self, address: RelayAddress | None, listener: RelayListener) -> None:
        """Tell the children where the worker takes messages, before their next job; None: nowhere."""
        ...


class Pool(Protocol):
    """Slots, and the means to use them.  Every method is called on the coordinator's loop."""

    name: str

    @property
    def ends_single_jobs(self) -> bool:
        """`terminate` ends one job, and no other."""
        ...

    @property
    def slots(self) -> Sequence[Slot]: ...

    @property
    def size(self) -> int:
        """Jobs at once that it is to run."""
        ...

    def resize(self, size: int) -> None:
        """Have it run another number of jobs at once, at least one; what runs goes on to its end.

        Raises:
            ValueError: It cannot.
        """
        ...

    def restart(self, modules: Sequence[str] = (), *, reload: bool = False) -> None:
        """Replace every process by a new one, as soon as that is ready; what runs goes on to its end.

        Args:
            modules: What the new ones import before anything else.
            reload: Have modules that were imported before run again.

        Raises:
            ValueError: It cannot.
        """
        ...

    async def start(self, listener: PoolListener) -> None:
        """Bring the slots up; returns when they have been asked for, not when they are ready."""
        ...

    def submit(self, slot: Slot, jobs: Sequence[Job]) -> None:
        """Give jobs to a slot, in order."""
        ...

    def recall(self, slot: Slot) -> list[int]:
        """Take back every job of a slot that has not begun; returns their numbers."""
        ...

    def room(self, slot: Slot) -> int | None:
        """Jobs the present process of a slot may still be given; None is any number."""
        ...

    def interrupt(self, slot: Slot, number: int, reason: str | None = None) -> bool:
        """Send a signal to the process of a slot; False when this pool cannot.

        Args:
            slot: The slot.
            number: Signal number.
            reason: Why, for `PoolListener.on_slot_lost` should the process end by it.
        """
        ...

    def exceed(self, slot: Slot, seq: int) -> bool:
        """Raise `SoftTimeLimitExceeded` in a running job; False when this pool cannot.

        Args:
            slot: The slot it runs in.
            seq: Its number.
        """
        ...

    def terminate(self, slot: Slot, seq: int, number: int = ..., reason: str | None = None) -> bool:
        """End a running job; False when this pool cannot.

        A pool of coroutines cancels it: that ends in `PoolListener.on_outcomes`, with `CANCELLED`, or as the job
        wants it. Any other ends the process, and that in `PoolListener.on_slot_lost`.

        Args:
            slot: The slot it runs in.
            seq: Its number.
            number: Signal for the process.
            reason: As for `interrupt`.
        """
        ...

    async def stop(self, *, timeout: float | None) -> None:
        """Let every slot finish what it runs, then end it; after ``timeout`` seconds by force."""
        ...
