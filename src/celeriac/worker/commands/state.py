"""What commands are given: the worker, as far as they may see and change it.  Used on the coordinator's loop only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from celeriac.app.base import Celery
    from celeriac.broker.topology import Queue
    from celeriac.control.mailbox import Request
    from celeriac.pool.base import Pool
    from celeriac.worker.autoscale import Autoscaler
    from celeriac.worker.broker_thread import BrokerThread
    from celeriac.worker.coordinator import CoordinatorOptions
    from celeriac.worker.dispatcher import Dispatcher
    from celeriac.worker.holding import Holding
    from celeriac.worker.intake import Intake
    from celeriac.worker.ledger import Ledger
    from celeriac.worker.pace import Estimates, Pace
    from celeriac.worker.reporting import EventReporter
    from celeriac.worker.revoking import Revoking


@dataclass
class WorkerParts:
    """The parts of a running worker.

    Attributes:
        loop: The coordinator's loop.
        options: How the worker behaves.
        pool: Where tasks run.
        ledger: What is held.
        dispatcher: What waits for a slot.
        holding: What waits for its time.
        intake: Judge of deliveries.
        estimates: What tasks ran, and how long.
        pace: How many messages may be held.
        broker: The broker thread.
        revoking: What must not run.
        events: Tells those who listen to events.
        request_stop: Acts on the number of a signal.
        replan: Looks again at what waits, and at how much may be held.
        autoscaler: What resizes the pool, if anything does.
    """

    loop: asyncio.AbstractEventLoop
    options: CoordinatorOptions
    pool: Pool
    ledger: Ledger
    dispatcher: Dispatcher
    holding: Holding
    intake: Intake
    estimates: Estimates
    pace: Pace
    broker: BrokerThread
    revoking: Revoking
    events: EventReporter
    request_stop: Callable[[int], None]
    replan: Callable[[], None]
    autoscaler: Autoscaler | None = None


class Qos:
    """How many messages the worker may hold, as ``state.consumer.qos``.

    Args:
        parts: The worker.
    """

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts

    @property
    def value(self) -> int:
        """The present limit."""
        return self._parts.broker.limit

    def increment_eventually(self, n: int = 1) -> int:
        """Raise the limit; returns the new one."""
        self._parts.pace.granted += n
        self._parts.replan()
        return self.value

    def decrement_eventually(self, n: int = 1) -> int:
        """Lower the limit; returns the new one."""
        return self.increment_eventually(-n)


class Consumer:
    """The worker as its commands know it from Celery: ``state.consumer``.

    Args:
        app: The application.
        hostname: Name of the node.
        parts: The worker.
    """

    def __init__(self, app: Celery, hostname: str, parts: WorkerParts) -> None:
        self.app = app
        self.hostname = hostname
        self.pool = parts.pool
        self.qos = Qos(parts)
        self._parts = parts

    @property
    def queues(self) -> list[Queue]:
        """The queues consumed."""
        return list(self.app.queues.consume_from.values())

    def add_task_queue(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str | None = None,
        routing_key: str | None = None,
        **options: Any,
    ) -> None:
        """Consume one more queue; does nothing for one that is consumed.

        Raises:
            ImproperlyConfigured: An option is unknown.
        """
        queues = self.app.queues
        if queue in queues.consume_from:
            return
        if queue in queues and not (exchange or routing_key or options):
            queues.select_add(queues[queue])
        else:
            queues.select_add(
                queue, exchange=exchange or queue, exchange_type=exchange_type or "direct",
                routing_key=routing_key or queue, **options,
            )  # fmt: skip
        self._parts.broker.set_queues(self.queues)

    def cancel_task_queue(self, queue: str) -> None:
        """Consume a queue no longer."""
        self.app.queues.deselect([queue])
        self._parts.broker.set_queues(self.queues)


@dataclass
class ControlState:
    """What a command gets first.

    Attributes:
        app: The application.
        hostname: Name of the node.
        consumer: The worker as commands know it from Celery.
        parts: The worker as it is; not for commands of users.
        request: What is being carried out.
        samples: What `memsample` saw.
        started_at: Monotonic time at which the worker began.
        step_info: Gives what the steps of users tell of themselves.
    """

    app: Celery
    hostname: str
    consumer: Consumer
    parts: WorkerParts
    started_at: float
    step_info: Callable[[], dict[str, Any]] = dict
    request: Request | None = None
    samples: list[tuple[float, int]] = field(default_factory=list)

    def tset(self, items: Iterable[Any] = ()) -> set[Any]:
        """A set."""
        return set(items)
