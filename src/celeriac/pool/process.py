"""ProcessPool: child processes as the coordinator sees them.  Runs on the coordinator's loop.

It starts none by itself: the spawner does, on request.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import signal
import socket
from itertools import count
from typing import TYPE_CHECKING, Any

from celeriac.pool.base import Slot
from celeriac.pool.channel import ChildChannel
from celeriac.pool.child import EXIT_INIT_FAILED, process_title
from celeriac.pool.frames import encode_frame
from celeriac.pool.inbox import ADDRESS
from celeriac.pool.runners.base import BEGUN, CANCEL, EVENTS, EXCEED, GREENLETS, OUTCOMES, READY, RELAYED
from celeriac.pool.spawner import EXITED, FAILED, REFRESH, REPORT, REQUEST, SPAWNED
from celeriac.utils.dataclass import dataclass
from celeriac.utils.process import is_stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.base import RelayAddress
    from celeriac.execution.job import Job
    from celeriac.pool.base import PoolListener, RelayListener

logger = logging.getLogger(__name__)

#: Seconds between two looks at children that have jobs, start or leave; one that is stopped at two of them is killed.
_STOP_CHECK = 0.25
#: Seconds before a child that could not start is tried again.
_RESTART_DELAY = 1.0
#: Seconds the kernel gets to end a killed child.
_KILL_TIMEOUT = 5.0


@dataclass(eq=False)
class ChildSlot(Slot):
    """A slot whose jobs run in a child process.

    Attributes:
        channel: What connects us with it; None: there is no process.
        pidfd: The process; -1 before it is known.
        kill_reason: Why we ended it.
        successor: The slot that takes its place.
        replaces: The slot whose place it takes, as soon as it is ready itself.
        seen_stopped: Its process was stopped (SIGSTOP) when last looked at.
        patience: Runs while it is waited for.
        address: Where it relays messages to.
    """

    channel: ChildChannel | None = None
    pidfd: int = -1
    kill_reason: str | None = None
    successor: ChildSlot | None = None
    replaces: ChildSlot | None = None
    seen_stopped: bool = False
    patience: asyncio.TimerHandle | None = None
    address: RelayAddress | None = None


class ProcessPool:
    """Children started by a spawner.

    Args:
        name: Name shown to users (``prefork``, ``threads``).
        size: Number of children.
        runner: How a child runs its jobs: ``serial``, ``threads``, ``coroutines``, ``gevent``, ``eventlet``.
        capacity: Jobs each child runs at once.
        spawner_pid: The spawner.
        control: Socket to the spawner.
        max_jobs: Jobs after which a child is replaced; None is never.
        max_memory: Resident KiB after which a child is replaced; None is never.
        spawned: They are not forked.
        start_timeout: Seconds after which a child that is not ready is killed; 0 is never.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        runner: str = "serial",
        capacity: int = 1,
        spawner_pid: int,
        control: socket.socket,
        max_jobs: int | None = None,
        max_memory: int | None = None,
        spawned: bool = False,
        start_timeout: float = 0.0,
    ) -> None:
        self.name = name
        self._capacity = capacity
        self._runner = runner
        self._shared = runner != "serial"
        self._by_index = {index: ChildSlot(index, capacity=capacity) for index in range(1, size + 1)}
        self._slots = list(self._by_index.values())
        # A child that can end one of its jobs and keep the others.
        self._steers = runner in ("coroutines", *GREENLETS)
        self._spawner_pid = spawner_pid
        self._control = control
        self._reports = bytearray()
        self._max_jobs = max_jobs
        self._max_memory = max_memory
        self._address: RelayAddress | None = None
        self._spawned = spawned
        self._start_timeout = start_timeout
        self._stopping = False
        # The spawner is gone.
        self._orphaned = False
        self._listener: PoolListener
        self._relay_listener: RelayListener
        self._loop: asyncio.AbstractEventLoop
        self._all_gone = asyncio.Event()
        self._stop_timer: asyncio.TimerHandle | None = None

    @property
    def ends_single_jobs(self) -> bool:
        return self._steers or not self._shared

    @property
    def slots(self) -> Sequence[Slot]:
        return self._slots

    async def start(self, listener: PoolListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._control.setblocking(False)
        self._loop.add_reader(self._control, self._read_reports)
        for slot in self._slots:
            self._spawn(slot)

    # -- children come and go -------------------------------------------------------------------------------

    def _spawn(self, slot: ChildSlot) -> None:
        """Ask the spawner for a child; it is usable at once, and ready when it says so."""
        if self._stopping or self._orphaned or slot.index not in self._by_index:
            return
        hand_over = functools.partial(socket.send_fds, self._control, [REQUEST.pack(slot.index, slot.capacity)])
        on_readable = functools.partial(self._read_child, slot)
        try:
            slot.channel = ChildChannel(slot.index, self._loop, hand_over, on_readable)
        except OSError as exc:
            self._listener.on_pool_failed(f"the spawner (pid {self._spawner_pid}) is gone: {exc}")
            return
        slot.pid, slot.pidfd, slot.kill_reason = 0, -1, None
        slot.ready = slot.retiring = False
        slot.started_jobs, slot.address = 0, None
        if self._start_timeout:
            slot.patience = self._loop.call_later(self._start_timeout, self._on_late, slot)

    def _on_late(self, slot: ChildSlot) -> None:
        """A child hangs before it is ready: in an import, or in a receiver of ``worker_process_init``."""
        why = f"not ready within worker_proc_alive_timeout={self._start_timeout:g} s, and killed for that"
        self.interrupt(slot, signal.SIGKILL, why)

    def _stop_waiting(self, slot: ChildSlot) -> None:
        if slot.patience is not None:
            slot.patience.cancel()
            slot.patience = None

    def _read_reports(self) -> None:
        """Reports of the spawner."""
        try:
            data = self._control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control)
            self._on_spawner_died()
            return
        self._reports += data
        while len(self._reports) >= REPORT.size:
            kind, index, pid, status = REPORT.unpack_from(self._reports)
            del self._reports[: REPORT.size]
            self._on_report(kind, self._by_index[index], pid, status)

    def _on_spawner_died(self) -> None:
        """Nobody reaps or replaces children any more: end them, account for their jobs, give up."""
        self._orphaned = True
        for slot in self._slots:
            self.interrupt(slot, signal.SIGKILL)
            if slot.pidfd >= 0:
                # Readable once the process is gone; the kernel tells, whoever its parent is.
                self._loop.add_reader(slot.pidfd, self._on_orphan_gone, slot)
            elif slot.channel is not None:
                self._on_exit(slot, slot.pid, signal.SIGKILL)
        self._check_orphans()

    def _on_orphan_gone(self, slot: ChildSlot) -> None:
        self._on_exit(slot, slot.pid, signal.SIGKILL)
        self._check_orphans()

    def _check_orphans(self) -> None:
        """Report the failure once no child is left that may still run a task."""
        if not self._stopping and not any(slot.channel for slot in self._slots):
            self._listener.on_pool_failed(f"the spawner (pid {self._spawner_pid}) died")

    def _on_report(self, kind: bytes, slot: ChildSlot, pid: int, status: int) -> None:
        if kind == SPAWNED:
            slot.pid, slot.seen_stopped = pid, False
            self._watch()
            try:
                slot.pidfd = os.pidfd_open(pid)
            except (AttributeError, OSError):
                slot.pidfd = -1
        elif kind == EXITED:
            self._on_exit(slot, pid, status)
        elif kind == FAILED:
            logger.error("Cannot start child %d: %s", slot.index, os.strerror(status))
            self._release(slot)
            self._loop.call_later(_RESTART_DELAY, self._spawn, slot)

    def _on_exit(self, slot: ChildSlot, pid: int, status: int) -> None:
        """A child is gone: take in what it still said, then account for every job it held."""
        while self._read_child(slot):
            continue
        was_ready = slot.ready
        reason = slot.kill_reason or describe_status(status)
        permits = slot.channel.take_permits() if slot.channel is not None else []
        unbegun = [seq for seq in permits if seq in slot.assigned]
        begun = [seq for seq in slot.assigned if seq not in set(unbegun)]
        # Jobs begin in order, but among several at once nobody knows which of them have ended.
        running, finished = (begun[-1:], begun[:-1]) if slot.capacity == 1 else (begun, [])
        if slot.address is not None and status != 0:
            self._relay_listener.on_relay_broken(pid)
        leaves = slot.retiring or slot.successor is not None
        self._release(slot)
        if begun or unbegun:
            self._listener.on_slot_lost(slot, running, finished, unbegun, reason)
            slot.assigned.clear()
        if not (self._stopping or (leaves and status == 0)):
            title = process_title(self._runner, slot.index, spawned=self._spawned)
            logger.error("Process %r pid:%d exited with %r", title, pid, reason)
        if self._stopping or self._orphaned:
            if not any(other.channel for other in self._slots):
                self._all_gone.set()
        elif leaves:
            self._remove(slot)
        elif was_ready or os.waitstatus_to_exitcode(status) != EXIT_INIT_FAILED:
            self._spawn(slot)
        else:
            self._loop.call_later(_RESTART_DELAY, self._spawn, slot)

    def _release(self, slot: ChildSlot) -> None:
        """Close what belonged to a process that is gone."""
        self._stop_waiting(slot)
        if slot.channel is not None:
            slot.channel.close()
        if slot.pidfd >= 0:
            self._loop.remove_reader(slot.pidfd)
            os.close(slot.pidfd)
        slot.channel, slot.pidfd, slot.ready, slot.pid = None, -1, False, 0

    # -- size ---------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return self._capacity if self._shared else len(self._staying())

    def resize(self, size: int) -> None:
        size = max(1, size)
        staying = self._staying()
        if self._shared:
            self._capacity = size
            for slot in staying:
                self._replace(slot)
            return
        for _ in range(size - len(staying)):
            self._add()
        # Those that idle, or have the least to do.
        for slot in sorted(staying, key=lambda slot: len(slot.assigned))[: max(0, len(staying) - size)]:
            self._leave(slot)

    def restart(self, modules: Sequence[str] = (), *, reload: bool = False) -> None:
        if modules:
            order = json.dumps([list(modules), reload]).encode()
            self._control.sendall(REQUEST.pack(REFRESH, len(order)) + order)
        for slot in self._staying():
            self._replace(slot)

    def _staying(self) -> list[ChildSlot]:
        """Slots that nothing is about to take the place of."""
        return [slot for slot in self._slots if not slot.retiring and slot.successor is None]

    def _add(self) -> ChildSlot:
        """One more child."""
        index = next(index for index in count(1) if index not in self._by_index)
        slot = self._by_index[index] = ChildSlot(index, capacity=self._capacity)
        self._slots.append(slot)
        self._spawn(slot)
        return slot

    def _replace(self, slot: ChildSlot) -> None:
        """Have another child take the place of one, when it is ready to."""
        slot.successor = self._add()
        slot.successor.replaces = slot

    def _leave(self, slot: ChildSlot) -> None:
        """End a child, after the jobs it has, for good."""
        if slot.channel is None:
            self._remove(slot)
        else:
            self._retire(slot)

    def _remove(self, slot: ChildSlot) -> None:
        del self._by_index[slot.index]
        self._slots.remove(slot)
        if slot.successor is not None:
            slot.successor.replaces = slot.replaces
        elif slot.replaces is not None:
            self._retire(slot.replaces)
        self._listener.on_slot_removed(slot)

    def _watch(self) -> None:
        """Look for stopped children from now on, for as long as there are some that it matters for."""
        if self._stop_timer is None and not self._stopping:
            self._stop_timer = self._loop.call_later(_STOP_CHECK, self._look_for_stopped)

    def _look_for_stopped(self) -> None:
        """Kill children that were stopped with jobs, or while they start or leave.

        They would keep those, and their slot, until somebody notices.
        """
        watched = [slot for slot in self._slots if slot.pid and (slot.assigned or not slot.ready)]
        for slot in watched:
            stopped = is_stopped(slot.pid)
            if stopped and slot.seen_stopped:
                self.interrupt(slot, signal.SIGKILL, "stopped by a signal, and killed for that")
            slot.seen_stopped = stopped
        self._stop_timer = None
        if watched:
            self._watch()

    # -- jobs ---------------------------------------------------------------------------------------------------

    def _child(self, slot: Slot) -> ChildSlot:
        assert isinstance(slot, ChildSlot)  # noqa: S101 - the pool has no others
        return slot

    def submit(self, slot: Slot, jobs: Sequence[Job]) -> None:
        child = self._child(slot)
        assigned = slot.assigned
        for job in jobs:
            assigned[job.seq] = job
        slot.started_jobs += len(jobs)
        frame = encode_frame([job.pack() for job in jobs])
        if child.address is not self._address:
            child.address = self._address
            frame = encode_frame((ADDRESS, self._address)) + frame
        # Else the process is gone; its exit report settles the jobs.
        if child.channel is not None:
            child.channel.write(frame)
            child.channel.permit([job.seq for job in jobs])
        if self._max_jobs and slot.started_jobs >= self._max_jobs:
            if child.successor is None:
                child.successor = self._add()
            self._retire(child)
        self._watch()

    def relay_to(self, address: RelayAddress | None, listener: RelayListener) -> None:
        if not self._shared:
            self._address, self._relay_listener = address, listener

    def room(self, slot: Slot) -> int | None:
        """Jobs the present process of a slot may still be given; None is any number."""
        return None if not self._max_jobs else max(0, self._max_jobs - slot.started_jobs)

    def _retire(self, slot: ChildSlot) -> None:
        """End a child after the jobs it has."""
        if slot.channel is not None and not slot.retiring:
            slot.retiring, slot.ready = True, False
            slot.channel.permit([0])

    def recall(self, slot: Slot) -> list[int]:
        channel = self._child(slot).channel
        if channel is None:
            return []
        recalled = channel.take_permits()
        leave = 0 in recalled
        seqs = [seq for seq in recalled if seq]
        for seq in seqs:
            slot.assigned.pop(seq, None)
        slot.started_jobs -= len(seqs)
        if leave:
            channel.permit([0])
        return seqs

    def _read_child(self, slot: ChildSlot) -> bool:
        """Take in frames of a child; False when there is nothing more for now."""
        frames = slot.channel.read() if slot.channel is not None else None
        if frames is None:
            return False
        for kind, value in frames:
            self._take_in(slot, kind, value)
        return True

    def _take_in(self, slot: ChildSlot, kind: int, value: Any) -> None:
        """One frame of a child."""
        if kind == OUTCOMES:
            self._on_outcomes(slot, *value)
        elif kind == EVENTS:
            self._listener.on_events(value)
        elif kind == RELAYED:
            self._relay_listener.on_relayed(value)
        elif kind == BEGUN:
            self._listener.on_begun(slot, *value)
        elif kind == READY:
            self._stop_waiting(slot)
            slot.ready = not slot.retiring
            slot.pid = value
            if slot.replaces is not None:
                # From now on no job is lost by its leaving.
                self._retire(slot.replaces)
                slot.replaces = None
            self._listener.on_slot_ready(slot)

    def _on_outcomes(self, slot: ChildSlot, outcomes: list[Any], rss: int) -> None:
        for outcome in outcomes:
            slot.assigned.pop(outcome[0], None)
        if self._max_memory and rss > self._max_memory and not slot.retiring and slot.successor is None:
            logger.warning(
                "Child %d (pid %d) uses %d KiB, more than worker_max_memory_per_child=%d; it is replaced",
                slot.index, slot.pid, rss, self._max_memory,
            )  # fmt: skip
            self._replace(slot)
        self._listener.on_outcomes(slot, outcomes)

    # -- ending -------------------------------------------------------------------------------------------------

    def interrupt(self, slot: Slot, number: int, reason: str | None = None) -> bool:
        child = self._child(slot)
        if child.pid == 0:
            return False
        if reason is not None:
            child.kill_reason = reason
        try:
            if child.pidfd >= 0:
                signal.pidfd_send_signal(child.pidfd, number)
            else:
                os.kill(child.pid, number)
        except ProcessLookupError:
            return False
        return True

    def exceed(self, slot: Slot, seq: int) -> bool:
        if not self._steers:
            return self.interrupt(slot, signal.SIGUSR1)
        return self._tell(slot, (EXCEED, seq))

    def terminate(self, slot: Slot, seq: int, number: int = signal.SIGKILL, reason: str | None = None) -> bool:
        if not self._steers:
            return self.interrupt(slot, number, reason)
        return self._tell(slot, (CANCEL, seq))

    def _tell(self, slot: Slot, what: tuple[int, int]) -> bool:
        """Have a child do something about one of its jobs; one that is gone needs not."""
        channel = self._child(slot).channel
        if channel is not None:
            channel.write(encode_frame(what))
        return True

    async def stop(self, *, timeout: float | None) -> None:
        if self._stopping:
            return
        self._stopping = True
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        for slot in self._slots:
            if slot.channel is not None:
                self._retire(slot)
        if any(slot.channel for slot in self._slots):
            try:
                async with asyncio.timeout(timeout):
                    await self._all_gone.wait()
            except TimeoutError:
                await self._kill_all()
        self._loop.remove_reader(self._control)
        self._control.close()

    async def _kill_all(self) -> None:
        for slot in self._slots:
            self.interrupt(slot, signal.SIGKILL)
        try:
            async with asyncio.timeout(_KILL_TIMEOUT):
                await self._all_gone.wait()
        except TimeoutError:
            left = [slot.pid for slot in self._slots if slot.channel is not None]
            logger.critical("Children %s are still there %s seconds after SIGKILL", left, _KILL_TIMEOUT)


def describe_status(status: int) -> str:
    """Say how a process ended: ``exitcode 3`` or ``signal 9 (SIGKILL)``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exitcode {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    return f"signal {-code} ({name})"
