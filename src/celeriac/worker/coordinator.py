"""The coordinator: owns the loop and everything the worker knows; intake, dispatch, settlement and shutdown meet here.

All state is touched on the loop's thread only.  Broker I/O is the broker thread's, user code the pool's.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING, Any

from celeriac import signals, states
from celeriac.control import revokes
from celeriac.exceptions import Retry
from celeriac.execution.job import CANCELLED, SUCCEEDED
from celeriac.utils.dataclass import dataclass
from celeriac.worker.commands.state import WorkerParts
from celeriac.worker.dispatcher import Dispatcher
from celeriac.worker.endings import Endings
from celeriac.worker.holding import Holding
from celeriac.worker.intake import Verdict
from celeriac.worker.leaving import Leaving
from celeriac.worker.ledger import Ledger
from celeriac.worker.pace import Estimates, Pace
from celeriac.worker.relayed import Relays
from celeriac.worker.revoking import Revoking
from celeriac.worker.set_aside import SetAside
from celeriac.worker.shutdown import Stage
from celeriac.worker.time_limits import TimeLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.current import AppLike
    from celeriac.execution.relaying import Relayed
    from celeriac.message import Delivery
    from celeriac.pool.base import Pool, Slot
    from celeriac.typing import Headers
    from celeriac.worker.autoscale import Autoscaler
    from celeriac.worker.bootsteps import StepThread
    from celeriac.worker.broker_thread import BrokerThread
    from celeriac.worker.failures import FailureReporter
    from celeriac.worker.intake import Intake
    from celeriac.worker.ledger import Entry
    from celeriac.worker.mailbox import WorkerMailbox
    from celeriac.worker.reporting import EventReporter
    from celeriac.worker.revoked import RevokedTasks
    from celeriac.worker.status import WorkerStatus

logger = logging.getLogger("celeriac.worker.strategy")
log = logging.getLogger("celeriac.worker")

#: Seconds the pool gets to end what it runs at a cold shutdown, and the broker thread to settle.
POOL_TIMEOUT, BROKER_TIMEOUT = 5.0, 10.0

#: Seconds that steps of users get to stop, twice.
STEPS_TIMEOUT = 10.0

#: Seconds the mailbox gets to say farewell to the broker.
MAILBOX_TIMEOUT = 2.0


@dataclass(frozen=True)
class CoordinatorOptions:
    """How the worker behaves.

    Attributes:
        hostname: Node name.
        prefetch_multiplier: Messages claimed ahead for each slot; 0 is unlimited.
        adaptive_prefetch: Claim more while tasks are short.
        prefetch_max_bytes: Bytes that the bodies of claimed messages may amount to.
        grace: Seconds a warm shutdown waits for running tasks; None is as long as they take.
        soft_shutdown_timeout: Seconds before a cold shutdown ends them.
        soft_shutdown_on_idle: Wait even when nothing runs.
        chord_interval: Seconds between two searches for chords that are complete but were not concluded; 0 is never.
        cancel_on_connection_loss: End running tasks whose messages will be delivered again.
        max_tasks_per_child: Tasks after which a child is replaced, as the pool was told.
        make_autoscaler: Makes what resizes the pool, given it and a function that counts the tasks held; None: nothing.
    """

    hostname: str
    prefetch_multiplier: int = 4
    adaptive_prefetch: bool = True
    prefetch_max_bytes: int = 64 << 20
    grace: float | None = None
    soft_shutdown_timeout: float = 0.0
    soft_shutdown_on_idle: bool = False
    chord_interval: float = 0.0
    cancel_on_connection_loss: bool = False
    max_tasks_per_child: int | None = None
    make_autoscaler: Callable[[Pool, Callable[[], int]], Autoscaler] | None = None


class Coordinator:
    """A worker at work.

    Args:
        options: How it behaves.
        pool: Where tasks run.
        intake: Judge of deliveries.
        make_broker_thread: Makes the broker thread, given this listener and the loop.
        make_reporter: Makes the failure reporter, given the loop.
        events: Tells those who listen to events.
        status: The HTTP port; None is none.
        on_ready: Called once the broker is connected for the first time.
        make_mailbox: Makes what hears and answers commands, given the worker's parts, and what to call when it hears;
            None is no remote control.
        steps: Steps that users added; None is none.
        mingle: Asks other workers what is revoked, given what is revoked here; may wait. None: they are not asked.

    Attributes:
        started: The pool has been asked for.
        child_losses: Slots whose process died; as `stage` and `held`, read by other threads too.
    """

    def __init__(
        self,
        options: CoordinatorOptions,
        pool: Pool,
        intake: Intake,
        make_broker_thread: Callable[[Coordinator, asyncio.AbstractEventLoop], BrokerThread],
        make_reporter: Callable[[asyncio.AbstractEventLoop], FailureReporter],
        events: EventReporter,
        status: WorkerStatus | None,
        on_ready: Callable[[], None],
        make_mailbox: Callable[[WorkerParts, Callable[[], None]], WorkerMailbox] | None = None,
        steps: StepThread | None = None,
        mingle: Callable[[dict[str, float]], list[str]] | None = None,
    ) -> None:
        self._options = options
        self._pool = pool
        self._intake = intake
        self._make_broker_thread = make_broker_thread
        self._make_reporter = make_reporter
        self.events = events
        self._status = status
        self._metrics = status.metrics if status is not None else None
        self._on_ready = on_ready
        self._make_mailbox = make_mailbox
        self._ledger = Ledger()
        self._estimates = Estimates()
        self._pace = Pace(
            self._estimates,
            multiplier=options.prefetch_multiplier,
            adaptive=options.adaptive_prefetch,
            max_bytes=options.prefetch_max_bytes,
        )
        self._holding = Holding()
        self._dispatcher = Dispatcher(pool, self._ledger, self._estimates, self._acknowledge_early)
        self._leaving = Leaving(options.hostname, self._ledger)
        self._connected = False
        self._listening = make_mailbox is None
        self._steps = steps
        self._stepped = steps is None
        self._mingle = mingle
        self._hold_timer: asyncio.TimerHandle | None = None
        self._rebalance_timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._broker: BrokerThread
        self._reporter: FailureReporter
        self._relays: Relays
        self._aside: SetAside
        self._revoking: Revoking
        self._mailbox: WorkerMailbox | None = None
        self._time_limits: TimeLimits
        self._endings: Endings
        self._autoscaler: Autoscaler | None = None
        self.started = False
        self.child_losses = 0

    @property
    def app(self) -> AppLike:
        """The application."""
        return self._intake.app

    @property
    def hostname(self) -> str:
        """Node name."""
        return self._options.hostname

    @property
    def stage(self) -> Stage:
        """How far the shutdown is."""
        return self._leaving.stage

    @property
    def failure(self) -> str | None:
        """Why the worker could not go on."""
        return self._leaving.failure

    @property
    def held(self) -> int:
        """Messages that are claimed and not settled."""
        return len(self._ledger)

    @property
    def revoked(self) -> RevokedTasks:
        """What must not run."""
        return self._intake.revoked

    # -- life ---------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until told to stop; returns the exit status."""
        self._loop = asyncio.get_running_loop()
        self._broker = self._make_broker_thread(self, self._loop)
        self._relays = Relays(self._broker, self._pool)
        self._reporter = self._make_reporter(self._loop)
        self._aside = SetAside(self, self._intake, self._broker, self._reporter, self.events, self._metrics)
        self._time_limits = TimeLimits(self._pool, self._loop)
        self._endings = Endings(
            self, self._ledger, self._broker, self._reporter, self._aside, self.events, self._metrics,
            self._time_limits, self._leaving.note_drained,
        )  # fmt: skip
        self._revoking = Revoking(
            self._intake.revoked, self._pool, self._ledger, self._dispatcher, self._holding, self._endings.withdraw
        )
        self._adjust_prefetch()
        await self._pool.start(self)
        if self._options.make_autoscaler is not None:
            self._autoscaler = self._options.make_autoscaler(self._pool, lambda: len(self._ledger) - len(self._holding))
        if self._steps is not None:
            leaving = self._leaving
            await self._steps.start(self._parts(), self._on_stepped, leaving.finish, leaving.fail, leaving.begin())
        if self._mingle is not None:
            self.revoked.add_ids(await asyncio.to_thread(self._mingle, dict(self.revoked.ids)))
        self._broker.start()
        self.events.start(self._loop, lambda: sum(min(len(s.assigned), s.capacity) for s in self._pool.slots))
        if self._autoscaler is not None:
            self._autoscaler.start(self._loop)
        self._listen()
        self._reporter.watch_chords(self._options.chord_interval)
        if self._status is not None:
            self._status.start(self._loop, self, self._broker, self._pool)
        self.started = True
        await self._leaving.begin()
        await self._shut_down()
        return self._leaving.exit_code

    def _listen(self) -> None:
        """Hear commands from now on."""
        if self._make_mailbox is not None:
            self._mailbox = self._make_mailbox(self._parts(), self._on_listening)
            self._mailbox.start()

    def _parts(self) -> WorkerParts:
        return WorkerParts(
            loop=self._loop, options=self._options, pool=self._pool, ledger=self._ledger,
            dispatcher=self._dispatcher, holding=self._holding, intake=self._intake, estimates=self._estimates,
            pace=self._pace, broker=self._broker, revoking=self._revoking, events=self.events,
            request_stop=self.request_stop, replan=self._replan, autoscaler=self._autoscaler,
        )  # fmt: skip

    def request_stop(self, number: int) -> None:
        """Act on an OS signal; called on the loop."""
        self._leaving.request(number)

    @property
    def is_hung_up(self) -> bool:
        """It stops, or has stopped, because of a SIGHUP."""
        return self._leaving.is_hung_up

    def stop_soon(self, code: int | None = None, now: bool = False) -> None:
        """Finish what runs, and return from `run`; safe from any thread once it is `started`.

        Args:
            code: Exit status; None leaves it as it is.
            now: End what runs instead.
        """
        try:
            self._loop.call_soon_threadsafe(self._leaving.finish, code, now)
        except RuntimeError:
            # The loop is closed: it has ended by itself.
            return

    async def _shut_down(self) -> None:
        self._broker.quiesce()
        if self._autoscaler is not None:
            self._autoscaler.stop()
        self._dispatcher.paused = True
        self._release_unbegun()
        options = self._options
        if self._steps is not None:
            await self._steps.stop(terminate=self.stage > Stage.WARM, timeout=STEPS_TIMEOUT)
        await self._leaving.drain(
            grace=options.grace,
            soft_timeout=options.soft_shutdown_timeout,
            soft_on_idle=options.soft_shutdown_on_idle,
        )
        await self._end()

    async def _end(self) -> None:
        """End what still runs, settle, let go of everything."""
        self._leaving.is_ending = True
        for slot in self._pool.slots:
            for seq in list(slot.assigned):
                self._pool.terminate(slot, seq)
        # Only when a process is gone may another worker get what it ran.
        await self._pool.stop(timeout=POOL_TIMEOUT)
        if self._steps is not None:
            await self._steps.finish(STEPS_TIMEOUT)
        unsettled = [entry.delivery for entry in self._ledger if entry.late and not entry.orphaned]
        if unsettled:
            log.warning("Restoring %d unacknowledged message(s)", len(unsettled))
            self._endings.give_back_begun(unsettled)
        for entry in self._ledger:
            if entry.acked:
                cancelled = Retry("cancelled by Celery")
                self._reporter.store(entry.delivery.message, states.RETRY, cancelled, lambda: None)
            self._ledger.remove(entry)
        if self._mailbox is not None:
            self._mailbox.stop()
            await asyncio.to_thread(self._mailbox.join, MAILBOX_TIMEOUT)
        await asyncio.to_thread(self._reporter.stop)
        await asyncio.to_thread(self.events.stop)
        # Settlements that the reporter asked for on its way out.
        await asyncio.sleep(0)
        self._broker.stop()
        if not await asyncio.to_thread(self._broker.join, BROKER_TIMEOUT):
            log.error(
                "The broker did not answer in %s seconds; its messages return when the lease lapses", BROKER_TIMEOUT
            )
        if self._status is not None:
            await asyncio.to_thread(self._status.stop)

    def _release_unbegun(self) -> None:
        """Give back what has not begun. What was acknowledged early has no way back and still runs."""
        entries = [*self._dispatcher.drain(), *self._dispatcher.recall_all(), *self._holding.drain()]
        self._give_back([entry for entry in entries if not entry.acked])
        begun_by_promise = [entry for entry in entries if entry.acked]
        if begun_by_promise:
            self._dispatcher.paused = False
            self._dispatcher.put_back(begun_by_promise)
            self._dispatcher.pump()

    def _give_back(self, entries: Sequence[Entry]) -> None:
        """Have the broker take back, uncharged, what has not begun."""
        for entry in entries:
            self._ledger.remove(entry)
        self._broker.post("release", [entry.delivery for entry in entries if not entry.orphaned])
        self._broker.finished += len(entries)
        self._broker.wake()

    # -- broker -------------------------------------------------------------------------------------------------

    def on_connected(self, url: str) -> None:
        log.info("Connected to %s", url)
        if not self._connected:
            self._connected = True
            self._announce_ready()

    def _on_listening(self) -> None:
        self._listening = True
        self._announce_ready()

    def _on_stepped(self) -> None:
        self._stepped = True
        self._announce_ready()

    def _announce_ready(self) -> None:
        """Say once that tasks are consumed, commands heard and steps started."""
        if self._connected and self._listening and self._stepped:
            self._on_ready()

    def on_relay_target(self) -> None:
        self._relays.readdress(self)

    def on_revoked(self, ids: list[str], stamps: list[str]) -> None:
        """Learn what was revoked while the broker thread was not connected."""
        self._revoking.revoke_ids(ids)
        self._revoking.revoke_stamps([stamp for text in stamps if (stamp := revokes.unpack_stamp(text)) is not None])

    def on_broker_refused(self, reason: str) -> None:
        self._leaving.fail(reason)

    def on_connection_lost(self, session_id: int) -> None:
        """End what runs and will be delivered again, if that is wanted; else it may be adopted by that delivery."""
        if self._options.cancel_on_connection_loss:
            self._cancel([entry for entry in self._ledger if entry.delivery.session_id == session_id])

    def _cancel(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            slot = entry.slot
            if slot is None or not entry.late or not self._pool.ends_single_jobs or entry.cancelled:
                continue
            # The last one that has begun is the one that runs.
            if slot.capacity > 1 or next(reversed(slot.assigned), None) == entry.seq:
                log.warning("Terminating %s[%s]: the connection it came by is lost", entry.name, entry.task_id)
                entry.cancelled = self._pool.terminate(slot, entry.seq)

    def on_session_lost(self, session_id: int) -> None:
        """Drop what has not begun: it will be delivered again. What runs may be adopted by its next delivery."""
        lost = self._ledger.orphan(session_id)
        if self._options.cancel_on_connection_loss:
            self._cancel(lost)
        if not self._dispatcher.paused:
            self._dispatcher.put_back(self._dispatcher.recall_all())
        unbegun = {id(entry) for entry in (*self._dispatcher.drain_orphans(), *self._holding.drain_orphans())}
        dropped = [entry for entry in lost if id(entry) in unbegun and not entry.acked]
        for entry in dropped:
            self._ledger.remove(entry)
            self._ledger.remember_unbegun(entry.delivery)
        self._broker.finished += len(dropped)
        self._dispatcher.pump()

    def on_unsettled(self, verb: str, deliveries: list[Delivery]) -> None:
        """A session broke before it could settle these."""
        for delivery in deliveries:
            if verb == "ack_early":
                self._broker.finished += self._dispatcher.drop_unacknowledged(delivery)
            elif verb in ("ack", "reject"):
                self._ledger.remember(delivery, verb)

    def on_acks_in_doubt(self, headers: list[Headers]) -> None:
        """A session broke, and its broker does not say which of its last acknowledgements it received."""
        for each in headers:
            self._ledger.remember_in_doubt(each)

    def on_deliveries(self, deliveries: list[Delivery]) -> None:
        """A batch was fetched."""
        held = len(self._ledger)
        ready = self._judge(deliveries)
        self.events.received(ready)
        if signals.task_received.receivers:
            for entry in ready:
                signals.task_received.send(sender=self, request=entry)
        self._dispatcher.add(ready)
        if self.stage is not Stage.RUNNING:
            self._release_unbegun()
            return
        self._learn_of(deliveries, kept=len(self._ledger) - held)
        if self._autoscaler is not None:
            self._autoscaler.maybe_scale()
        self._dispatcher.pump()
        self._arm_holding()
        self._arm_rebalance()

    def _judge(self, deliveries: Sequence[Delivery]) -> list[Entry]:
        """Act on the verdict on each; returns what is ready to run."""
        ready: list[Entry] = []
        deferred: list[tuple[Delivery, float]] = []
        info = logger.isEnabledFor(logging.INFO)
        judge, held = self._intake.judge, self._ledger.entries
        orphans = self._ledger.awaits_redelivery
        for delivery in deliveries:
            if orphans and self._adopt(delivery):
                continue
            judged = judge(delivery)
            entry = judged.entry
            if judged.verdict is Verdict.RUN and entry is not None:
                held[entry.seq] = entry
                ready.append(entry)
                if info:
                    logger.info("Task %s[%s] received", entry.name, entry.task_id)
            elif judged.verdict is Verdict.HOLD and entry is not None:
                held[entry.seq] = entry
                self.events.received((entry,))
                if info:
                    logger.info("Task %s[%s] received", entry.name, entry.task_id)
                self._holding.hold(entry, judged.until)
            elif judged.verdict is Verdict.DEFER:
                deferred.append((delivery, judged.until))
            else:
                self._aside.put(delivery, judged)
        if deferred:
            self._defer(deferred)
        return ready

    def _defer(self, deferred: Sequence[tuple[Delivery, float]]) -> None:
        """Have the broker keep what is due later."""
        if logger.isEnabledFor(logging.INFO):
            for delivery, _ in deferred:
                name, task_id = (delivery.message.headers.get(header) for header in ("task", "id"))
                logger.info("Task %s[%s] received: due later, kept by the broker", name, task_id)
        self._broker.post("defer", deferred)
        self._broker.finished += len(deferred)
        self._broker.wake()

    def _learn_of(self, deliveries: Sequence[Delivery], *, kept: int) -> None:
        """Adapt the limit to what came; what is held beyond it now goes back to the broker, the newest of it."""
        before = self._broker.limit
        self._pace.fetched(deliveries, kept)
        self._adjust_prefetch()
        surplus = len(self._ledger) - self._broker.limit
        if self._broker.limit < before and surplus > 0:
            self._give_back(self._dispatcher.take_newest(surplus))

    def _adopt(self, delivery: Delivery) -> bool:
        """Recognise a message that runs here, or ran to its end, under a lost session."""
        entry, verb = self._ledger.adopt(delivery)
        if verb is not None:
            self._broker.finished += 1
            self._broker.post(verb, [delivery])
            self._broker.wake()
        if entry is not None:
            self._broker.finished += 1
        return entry is not None or verb is not None

    def _acknowledge_early(self, entries: Sequence[Entry], then: Callable[[Entry], None]) -> None:
        """Acknowledge before the pool gets them; ``then`` runs for each once the broker has confirmed."""
        self._broker.post("ack_early", [(entry.delivery, functools.partial(then, entry)) for entry in entries])
        self._broker.wake()

    # -- pool ---------------------------------------------------------------------------------------------------

    def on_slot_ready(self, slot: Slot) -> None:
        self._dispatcher.forget(slot)
        self._adjust_prefetch()
        self._dispatcher.pump()
        self._broker.wake()

    def on_slot_removed(self, slot: Slot) -> None:
        self._dispatcher.remove(slot)
        self._adjust_prefetch()
        self._dispatcher.pump()

    def on_pool_failed(self, reason: str) -> None:
        self._leaving.fail(reason)

    def on_begun(self, slot: Slot, seq: int, at: float) -> None:
        """Start the clocks of a task with limits."""
        entry = self._ledger.entries.get(seq)
        if entry is not None:
            entry.began_at = at
            self._time_limits.start(entry)

    def on_events(self, events: Sequence[tuple[str, float, Any]]) -> None:
        self.events.relay(events)

    def on_outcomes(self, slot: Slot, outcomes: Sequence[tuple[int, int, float, str | None]]) -> None:
        """Jobs ended: settle them, and send what comes next."""
        cancelled, urgent = self._settle(slot, outcomes)
        self._broker.finished += len(outcomes) - len(cancelled)
        self.events.processed += len(outcomes) - len(cancelled)
        if not self._leaving.is_ending:
            for entry in cancelled:
                # As it was to be; its process goes on.
                self._endings.end_running(entry, f"The task was cancelled. Job: {entry.seq}.")
        self._adjust_prefetch()
        self._dispatcher.pump()
        if urgent or cancelled:
            self._broker.wake()
        else:
            self._broker.wake_soon()
        self._arm_rebalance()
        self._leaving.note_drained()

    def _settle(self, slot: Slot, outcomes: Sequence[tuple[int, int, float, str | None]]) -> tuple[list[Entry], bool]:
        """Take out of the ledger what ended, and have it settled.

        Returns:
            What was cancelled, which stays, and whether the broker should know of the rest at once.
        """
        held, metrics, succeeded = self._ledger.entries, self._metrics, self._intake.succeeded
        left: list[Entry] = []
        cancelled: list[Entry] = []
        runs: list[tuple[str, float]] = []
        acks: list[Delivery] = []
        for seq, kind, runtime, detail in outcomes:
            entry = held.get(seq)
            if entry is None:
                continue
            left.append(entry)
            if entry.began_at is not None:
                self._time_limits.cancel(seq)
            if kind == CANCELLED:
                cancelled.append(entry)
                continue
            runs.append((entry.plan.name, runtime))
            if metrics is not None:
                metrics.ended(entry, kind, runtime)
            if succeeded is not None and kind == SUCCEEDED and entry.late:
                succeeded.add(entry.task_id)
            if kind == SUCCEEDED and entry.late and not entry.orphaned:
                del held[seq]
                acks.append(entry.delivery)
            else:
                self._ledger.remove(entry)
                self._endings.settle(entry, kind, detail)
        self._dispatcher.finished(slot, left)
        self._estimates.learn(runs)
        self._broker.post("ack", acks)
        return cancelled, len(acks) < len(runs)

    def on_relayed(self, relayed: Relayed) -> None:
        """A child has published what comes next, as held by us."""
        delivery = self._relays.take(relayed)
        if delivery is not None and len(self._dispatcher):
            # It would wait for what was here before; another worker may be free.
            self._broker.post_now("release", delivery)
            self._broker.finished += 1
        elif delivery is not None:
            self.on_deliveries([delivery])

    def on_relay_broken(self, pid: int) -> None:
        self._relays.break_off(pid)

    def on_slot_lost(
        self, slot: Slot, running: Sequence[int], finished: Sequence[int], unbegun: Sequence[int], reason: str
    ) -> None:
        """A child died: unbegun jobs go elsewhere; the others end by policy."""
        if self._leaving.is_ending:
            return
        self.child_losses += 1
        self._dispatcher.forget(slot)
        get = self._ledger.entries.get
        self._dispatcher.put_back([entry for seq in unbegun if (entry := get(seq)) is not None])
        for seqs, end in ((finished, self._endings.end_unreported), (running, self._endings.end_running)):
            for seq in seqs:
                if (entry := get(seq)) is not None:
                    end(entry, f"Worker exited prematurely: {reason} Job: {seq}.")
        self._broker.wake()
        self._dispatcher.pump()
        self._leaving.note_drained()

    # -- pace ---------------------------------------------------------------------------------------------------

    def _adjust_prefetch(self) -> None:
        """Tell the broker thread how many messages may be held."""
        staying = sum(slot.capacity for slot in self._pool.slots if not slot.retiring)
        self._broker.limit = self._pace.limit(max(1, staying))

    def _replan(self) -> None:
        """Look again at what waits, and at how much may be held."""
        self._adjust_prefetch()
        self._dispatcher.pump()
        self._arm_holding()
        self._broker.wake()

    def _arm_holding(self) -> None:
        at = self._holding.next_at()
        if self._hold_timer is not None:
            self._hold_timer.cancel()
        delay = None if at is None else max(0.0, at - time.monotonic())
        self._hold_timer = None if delay is None else self._loop.call_later(delay, self._release_held)

    def _release_held(self) -> None:
        ready: list[Entry] = []
        for entry in self._holding.due(time.monotonic()):
            entry.rate_limited = False
            if discarded := self._intake.discarded(entry.delivery.message.headers):
                self._ledger.remove(entry)
                self._aside.put(entry.delivery, discarded)
            else:
                ready.append(entry)
        self._dispatcher.add(ready)
        self._dispatcher.pump()
        self._arm_holding()

    def _arm_rebalance(self) -> None:
        """Look for idle slots beside waiting jobs, now or when that may be worth it."""
        if self._rebalance_timer is None:
            delay = self._dispatcher.rebalance()
            if delay is not None:
                self._rebalance_timer = self._loop.call_later(delay, self._rebalance)

    def _rebalance(self) -> None:
        self._rebalance_timer = None
        self._arm_rebalance()
