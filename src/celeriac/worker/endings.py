"""What becomes of tasks that have ended: their messages are settled, the failures of killed ones recorded.

Runs on the coordinator's loop.  Which action an end calls for is `settlement`'s table.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING

from celeriac import signals
from celeriac.exceptions import DecodeError, TimeLimitExceeded, WorkerLostError
from celeriac.execution.chords import ONCE
from celeriac.execution.job import KIND_NAMES, LOST, REFUSED, RETRIED, TIMED_OUT
from celeriac.worker.set_aside import MAX_REASON
from celeriac.worker.settlement import Action, decide, is_final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.message import Delivery
    from celeriac.worker.broker_thread import BrokerThread
    from celeriac.worker.failures import FailureReporter
    from celeriac.worker.ledger import Entry, Ledger
    from celeriac.worker.metrics import TaskMetrics
    from celeriac.worker.reporting import EventReporter
    from celeriac.worker.set_aside import SetAside
    from celeriac.worker.time_limits import TimeLimits

__all__ = ["Endings"]

logger = logging.getLogger("celeriac.worker.strategy")

_VERBS = {Action.ACK: "ack", Action.REJECT: "reject", Action.REQUEUE: "requeue"}


class Endings:
    """Settles.

    Args:
        sender: The sender of the signals.
        ledger: What is not settled.
        broker: The broker thread.
        reporter: Records failures.
        aside: Records what was revoked.
        events: Tells those who listen.
        metrics: Counts; None is nobody.
        time_limits: Clocks of running tasks.
        note_drained: Called when less is left.
    """

    def __init__(
        self,
        sender: object,
        ledger: Ledger,
        broker: BrokerThread,
        reporter: FailureReporter,
        aside: SetAside,
        events: EventReporter,
        metrics: TaskMetrics | None,
        time_limits: TimeLimits,
        note_drained: Callable[[], None],
    ) -> None:
        self._sender = sender
        self._ledger = ledger
        self._broker = broker
        self._reporter = reporter
        self._aside = aside
        self._events = events
        self._metrics = metrics
        self._time_limits = time_limits
        self._note_drained = note_drained

    def settle(self, entry: Entry, kind: int, detail: str | None) -> None:
        """Carry out the settlement table for one entry that has been taken out of the ledger."""
        delivery = entry.delivery
        action = decide(entry.plan, kind, late=entry.late, deliveries=delivery.deliveries)
        if action is Action.DEAD_LETTER:
            reason = f"{KIND_NAMES[kind]}: {detail}"[:MAX_REASON]
            dead = functools.partial(self._broker.post_now, "dead_letter", (delivery, reason))
            if kind == REFUSED:
                self._events.rejected(delivery.message.headers, requeue=False)
                signals.task_rejected.send(sender=self._sender, message=delivery.message, exc=DecodeError(detail))
            dead()
        elif action is Action.ACK and entry.orphaned:
            self._ledger.remember(delivery, "ack")
        elif action is not Action.NONE and not entry.orphaned:
            self._broker.post(_VERBS[action], [delivery])

    def end_unreported(self, entry: Entry, why: str) -> None:
        """A task ran to its end in a process that died before it could say so."""
        if not entry.late:
            self._lose(entry, LOST, WorkerLostError(why))
            return
        # It runs again, but not at its own charge.
        self._ledger.remove(entry)
        self._broker.finished += 1
        if not entry.orphaned:
            self.give_back_begun([entry.delivery])

    def end_running(self, entry: Entry, why: str) -> None:
        """A task was ended while it ran: by command, at its limit, or with its process."""
        if entry.cancelled:
            self._cancel(entry)
        elif entry.terminated is not None:
            self._time_limits.cancel(entry.seq)
            self._ledger.remove(entry)
            self.withdraw(entry)
        elif entry.timed_out:
            self._lose(entry, TIMED_OUT, TimeLimitExceeded(entry.job.hard_limit))
        else:
            self._lose(entry, LOST, WorkerLostError(why))

    def _cancel(self, entry: Entry) -> None:
        """A task was ended because its connection was lost: it runs where its message is delivered next."""
        self._time_limits.cancel(entry.seq)
        self._ledger.remove(entry)
        self._broker.finished += 1
        if not entry.orphaned:
            self.give_back_begun([entry.delivery])
        self._note_drained()

    def give_back_begun(self, deliveries: Sequence[Delivery]) -> None:
        """Give back what may have begun, uncharged; but a task that runs once must be known by its redelivery."""
        once = [delivery for delivery in deliveries if ONCE in delivery.message.headers]
        self._broker.post("requeue", once)
        self._broker.post("release", [delivery for delivery in deliveries if ONCE not in delivery.message.headers])

    def withdraw(self, entry: Entry) -> None:
        """Record that an entry, which is out of the ledger, was revoked, and settle its message."""
        self._aside.revoke(entry, functools.partial(self._settle_revoked, entry))
        self._note_drained()

    def _settle_revoked(self, entry: Entry) -> None:
        if entry.late and entry.orphaned:
            self._ledger.remember(entry.delivery, "ack")
        elif entry.late:
            self._broker.post_now("ack", entry.delivery)

    def _may_retry(self, entry: Entry) -> bool:
        """The loss of its process is to be answered by a retry."""
        plan = entry.plan
        retries = entry.job.headers.get("retries") or 0
        return plan.retry_on_worker_lost and (plan.max_retries is None or retries < plan.max_retries)

    def _lose(self, entry: Entry, kind: int, exc: Exception) -> None:
        """A task that was killed: record the failure first where it is final, then settle its message."""
        self._time_limits.cancel(entry.seq)
        self._ledger.remove(entry)
        self._broker.finished += 1
        if self._metrics is not None:
            self._metrics.ended(entry, kind, None if entry.began_at is None else time.time() - entry.began_at)
        action = decide(entry.plan, kind, late=entry.late, deliveries=entry.delivery.deliveries)
        detail = f"{type(exc).__name__}: {exc}"
        if kind == LOST and self._may_retry(entry):
            self._events.retried(entry.job.headers, exc)
            self._reporter.retry(entry.job, exc, functools.partial(self._settle_lost, entry, RETRIED, detail))
        elif is_final(entry.plan, kind, action):
            logger.error("Task %s[%s] raised unexpected: %r", entry.name, entry.task_id, exc)
            self._events.failed(entry.job.headers, exc)
            self._reporter.fail(entry.job, exc, functools.partial(self._settle_lost, entry, kind, detail))
        else:
            logger.warning(
                "Task %s[%s] was lost (%s); its message is requeued after delivery %d",
                entry.name, entry.task_id, exc, entry.delivery.deliveries,
            )  # fmt: skip
            self.settle(entry, kind, detail)

    def _settle_lost(self, entry: Entry, kind: int, detail: str) -> None:
        self.settle(entry, kind, detail)
        self._broker.wake()
