"""The consumer as steps of users know it, and the steps of its blueprint that are there already.

These start nothing: the coordinator and the broker thread do.  In Celery they are ``celery.worker.consumer``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from celeriac.bootsteps.step import StartStopStep, Step
from celeriac.worker.commands.state import Consumer as CommandsConsumer
from celeriac.worker.commands.state import Qos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celeriac.app.connection import Connection as BrokerConnection
    from celeriac.worker.bootsteps import StepThread

__all__ = [
    "STEPS", "Agent", "Connection", "Consumer", "Control", "DelayedDelivery", "Events", "Evloop", "Gossip", "Heart",
    "Mingle", "Tasks",
]  # fmt: skip

#: Attributes of Celery's consumer that mean nothing here.
_WITHOUT_MEANING = {
    "strategies": "what becomes of a message is decided by celeriac.worker.intake for every task alike",
    "amqheartbeat_rate": "the driver sends the broker's heartbeats",
    "apply_eta_task": "delayed tasks are kept by the broker",
    "create_task_handler": "messages of tasks are handled by the coordinator",
    "gossip": "workers do not gossip",
}


class Connection(Step):
    """``consumer.connection``: the steps' own connection to the broker."""


class Events(Step):
    """``consumer.event_dispatcher``: sends events."""

    requires: ClassVar[Iterable[Any]] = (Connection,)


class Heart(Step):
    """``consumer.heart``: says that the worker is there; not there with ``--without-heartbeat``."""

    requires: ClassVar[Iterable[Any]] = (Events,)

    def include_if(self, parent: Any) -> bool:
        return not parent.controller.options.without_heartbeat


class Mingle(Step):
    """Other workers have been asked what is revoked, where ``worker_mingle`` says so; the broker tells it anyway."""

    requires: ClassVar[Iterable[Any]] = (Events,)


class Gossip(Step):
    """Workers do not gossip: there is nothing to start."""

    requires: ClassVar[Iterable[Any]] = (Mingle,)


class Tasks(Step):
    """Messages of tasks are consumed; maybe before this step's turn, see `ConsumerBlueprint`."""

    requires: ClassVar[Iterable[Any]] = (Mingle,)


class Control(Step):
    """Remote control is heard."""

    requires: ClassVar[Iterable[Any]] = (Tasks,)

    def include_if(self, parent: Any) -> bool:
        return bool(parent.app.conf.worker_enable_remote_control)


class DelayedDelivery(Step):
    """Delays are the broker's."""

    requires: ClassVar[Iterable[Any]] = (Tasks,)


class Agent(StartStopStep):
    """``consumer.agent``: what ``worker_agent`` names, started and stopped with the connection."""

    conditional: ClassVar[bool] = True
    requires: ClassVar[Iterable[Any]] = (Connection,)

    def include_if(self, parent: Any) -> bool:
        return bool(parent.app.conf.worker_agent)

    def create(self, parent: Any) -> Any:
        """Make the agent, of the connection."""
        parent.agent = self.instantiate(parent.app.conf.worker_agent, parent.connection)
        return parent.agent


class Evloop(Step):
    """The loop runs. It comes last."""

    label: ClassVar[str | None] = "event loop"
    last = True


STEPS: tuple[type[Step], ...] = (
    Connection, Events, Heart, Mingle, Gossip, Tasks, Control, DelayedDelivery, Agent, Evloop,
)  # fmt: skip


class EventDispatcher:
    """Sends events of the worker.

    Args:
        thread: The thread of the steps.
    """

    def __init__(self, thread: StepThread) -> None:
        self._thread = thread

    @property
    def enabled(self) -> bool:
        """Events about tasks are sent."""
        return self._thread.parts.events.task_events

    def enable(self) -> None:
        """Send events about tasks."""
        self._thread.on_loop(self._thread.parts.events.enable_task_events)

    def disable(self) -> None:
        """Send no events about tasks."""
        self._thread.on_loop(self._thread.parts.events.disable_task_events)

    def send(self, type: str, **fields: Any) -> None:
        """Send an event.

        Args:
            type: Its type, such as ``worker-cache-cleared``.
            **fields: What it tells.
        """
        events = self._thread.parts.events
        self._thread.on_loop(lambda: events.send(type, fields))


class Consumer(CommandsConsumer):
    """The worker's consumer, for its steps; safe in the thread of the steps.

    Args:
        thread: The thread of the steps.
        connection: Its connection to the broker.

    Attributes:
        app: The application.
        hostname: Node name.
        controller: The worker.
        blueprint: The steps.
        connection: The steps' connection to the broker.
        event_dispatcher: Sends events.
        timer, hub, pool: As those of the worker.
        heart: Sends heartbeats; None is nobody.
        qos: How many messages the worker may hold.
        agent: What ``worker_agent`` made; None is nothing.
        init_callback: Called with the consumer when it is ready.
        restart_count: How often it was connected again.
        steps: The steps that are there.
    """

    def __init__(self, thread: StepThread, connection: BrokerConnection) -> None:
        worker = thread.worker
        super().__init__(worker.app, worker.hostname, thread.parts)
        self.controller = worker
        self.connection = connection
        self.timer, self.hub, self.pool = worker.timer, worker.hub, worker.pool
        self.event_dispatcher = EventDispatcher(thread)
        self.heart = None if worker.options.without_heartbeat else thread.parts.events
        self.blueprint: Any = None
        self.steps: list[Step] = []
        self.restart_count = 0
        self.agent: Any = None
        self.init_callback: Callable[[Any], Any] | None = None
        self.disable_rate_limits = bool(worker.app.conf.worker_disable_rate_limits)
        self._thread = thread
        self.qos = _Qos(thread)

    @property
    def task_consumer(self) -> Consumer:
        """What consumes the queues of tasks: this."""
        return self

    @property
    def task_buckets(self) -> dict[str, Any]:
        """Rate limits by the name of the task."""
        return self._thread.on_loop(lambda: {name: self.bucket_for_task(task) for name, task in self.app.tasks.items()})

    def bucket_for_task(self, type: Any) -> Any:
        """The bucket of a task's rate limit; None is no limit."""
        return self._parts.intake.bucket(type.name, type.plan.rate_limit)

    def reset_rate_limits(self) -> None:
        """Count anew how often tasks begin."""
        self._thread.on_loop(self._parts.intake.reset_rate_limits)

    def add_task_queue(
        self,
        queue: str,
        exchange: str | None = None,
        exchange_type: str | None = None,
        routing_key: str | None = None,
        **options: Any,
    ) -> None:
        """Consume one more queue of tasks; does nothing for one that is consumed.

        Raises:
            ImproperlyConfigured: An option is unknown.
        """
        add = super().add_task_queue
        self._thread.on_loop(lambda: add(queue, exchange, exchange_type, routing_key, **options))

    def cancel_task_queue(self, queue: str) -> None:
        """Consume a queue of tasks no longer."""
        cancel = super().cancel_task_queue
        self._thread.on_loop(lambda: cancel(queue))

    def call_soon(self, p: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a function as soon as the thread of the steps has nothing else to do."""
        self.timer.call_after(0.0, p, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if (reason := _WITHOUT_MEANING.get(name)) is not None:
            raise AttributeError(f"the consumer has no attribute {name!r}: {reason}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class _Qos(Qos):
    """`Qos`, from the thread of the steps."""

    def __init__(self, thread: StepThread) -> None:
        super().__init__(thread.parts)
        self._thread = thread

    def increment_eventually(self, n: int = 1) -> int:
        raised = super().increment_eventually
        return self._thread.on_loop(lambda: raised(n))
