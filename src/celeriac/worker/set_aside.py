"""What becomes of a delivery that is not going to run here: recorded, announced, settled.  Runs on the loop."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from celeriac import signals, states
from celeriac.current import Context
from celeriac.exceptions import InvalidTaskError, NotRegistered, TaskRevokedError, WorkerLostError
from celeriac.worker.intake import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.message import Delivery
    from celeriac.worker.broker_thread import BrokerThread
    from celeriac.worker.failures import FailureReporter
    from celeriac.worker.intake import Intake, Judged
    from celeriac.worker.ledger import Entry
    from celeriac.worker.metrics import TaskMetrics
    from celeriac.worker.reporting import EventReporter

logger = logging.getLogger("celeriac.worker.strategy")

#: Characters of the reason a message is set aside for: it quotes what the message contains, which may be long.
MAX_REASON = 1000


class SetAside:
    """Carries out the verdicts that let nothing run.

    Args:
        sender: The sender of the signals.
        intake: Judge of deliveries.
        broker: The broker thread.
        reporter: Records failures.
        events: Tells those who listen.
        metrics: Counts what is set aside; None is nobody.
    """

    def __init__(
        self,
        sender: object,
        intake: Intake,
        broker: BrokerThread,
        reporter: FailureReporter,
        events: EventReporter,
        metrics: TaskMetrics | None,
    ) -> None:
        self._metrics = metrics
        self._events = events
        self._sender = sender
        self._intake = intake
        self._broker = broker
        self._reporter = reporter

    def put(self, delivery: Delivery, judged: Judged) -> None:
        """Set a delivery aside; the worker no longer holds it."""
        self._broker.finished += 1
        verdict, reason, message = judged.verdict, judged.reason[:MAX_REASON], delivery.message
        if self._metrics is not None:
            self._metrics.set_aside(delivery.queue, verdict.value)
        name, task_id = message.headers.get("task"), message.headers.get("id")
        if verdict in (Verdict.EXPIRED, Verdict.REVOKED):
            self._discard(delivery, verdict.value, functools.partial(self._broker.post_now, "ack", delivery))
            return
        if verdict is Verdict.SUCCEEDED:
            logger.info("Task %s[%s] already completed successfully.", name, task_id)
            self._broker.post_now("ack", delivery)
            return
        logger.error("%.200s[%.200s] is set aside: %s", name or "A message", task_id, reason)
        bury = functools.partial(self._broker.post_now, "dead_letter", (delivery, f"{verdict.value}: {reason}"))
        if verdict is Verdict.UNKNOWN:
            exc = NotRegistered(name)
            self._events.failed(message.headers, exc)
            signals.task_unknown.send(sender=self._sender, name=name, id=task_id, message=message, exc=exc)
            self._reporter.store(message, states.FAILURE, exc, bury)
        elif verdict is Verdict.EXHAUSTED:
            self._give_up(delivery, WorkerLostError(reason), bury)
        else:
            signals.task_rejected.send(sender=self._sender, message=message, exc=InvalidTaskError(reason))
            self._events.rejected(message.headers, requeue=False)
            bury()

    def revoke(self, entry: Entry, settle: Callable[[], None]) -> None:
        """Let an entry not run that was revoked while it waited; the worker no longer holds it.

        Args:
            entry: The entry, out of the ledger.
            settle: Settles its message once that is recorded.
        """
        self._broker.finished += 1
        if entry.terminated is None:
            self._discard(entry.delivery, "revoked", settle)
        else:
            self._discard(entry.delivery, "terminated", settle, entry.terminated)

    def _discard(self, delivery: Delivery, why: str, settle: Callable[[], None], terminated: int | None = None) -> None:
        message = delivery.message
        if terminated is None:
            logger.info("Discarding revoked task: %s[%s]", message.headers.get("task"), message.headers.get("id"))
        if signals.task_revoked.receivers:
            signals.task_revoked.send(
                sender=self._intake.task(message.headers.get("task")), request=_request(delivery),
                terminated=terminated is not None, signum=terminated, expired=why == "expired",
            )  # fmt: skip
        self._events.revoked(
            message.headers, terminated=terminated is not None, signum=terminated, expired=why == "expired"
        )
        self._reporter.store(message, states.REVOKED, TaskRevokedError(why), settle)

    def _give_up(self, delivery: Delivery, exc: Exception, then: Callable[[], None]) -> None:
        """Fail a task that was delivered too often, with its handlers and errbacks."""
        self._events.failed(delivery.message.headers, exc)
        # Judged again as a first delivery: all that is wanted is its job.
        delivery.deliveries = 1
        delivery.message.headers.pop("eta", None)
        entry = self._intake.judge(delivery).entry
        if entry is None:
            self._reporter.store(delivery.message, states.FAILURE, exc, then)
        else:
            self._reporter.fail(entry.job, exc, then)


def _request(delivery: Delivery) -> Context:
    """What is known of a task that does not run: its payload is not decoded here."""
    message = delivery.message
    return Context(
        message.headers,
        called_directly=False,
        properties=message.properties,
        correlation_id=message.properties.get("correlation_id"),
        reply_to=message.properties.get("reply_to"),
        delivery_info={
            "exchange": delivery.exchange,
            "routing_key": delivery.routing_key,
            "redelivered": delivery.redelivered,
            "priority": message.properties.get("priority"),
        },
    )
