"""Runs the steps that users add to a worker and its consumer, in a thread of their own.

Only a worker with steps loads this.  A step that blocks keeps other steps waiting, never the coordinator: leases,
heartbeats and tasks go on.  With steps of the consumer the thread has a connection of its own to the broker.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from celeriac.bootsteps.blueprint import Blueprint
from celeriac.exceptions import OperationalError, WorkerTerminate
from celeriac.worker import components, consumer
from celeriac.worker.timer import Hub, Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from celeriac.app.connection import Connection
    from celeriac.worker.assembly import Worker
    from celeriac.worker.commands.state import WorkerParts

__all__ = ["ConsumerBlueprint", "StepThread", "WorkerBlueprint", "install"]

logger = logging.getLogger("celeriac.worker.bootsteps")

T = TypeVar("T")

#: Seconds that the coordinator has for what a step asks of it.
_LOOP_TIMEOUT: Final = 30.0
#: Longest wait of the thread, in seconds.
_MAX_WAIT: Final = 5.0
#: Seconds between two attempts to connect.
_FIRST_RETRY, _LAST_RETRY = 0.1, 2.0
_NAME: Final = re.compile(r"cele(?:ry|riac)\.worker\.(components|autoscale|consumer)(?:\.\w+)?[:.](\w+)$")


class _Known(Blueprint):
    """A blueprint whose own steps have several names: Celery's, and ours."""

    area: ClassVar[str]
    own: ClassVar[dict[str, type[Any]]]

    def known(self, name: str) -> Any:
        """One of our steps by name."""
        found = _NAME.match(name)
        if found is None:
            return None
        area, step = found.groups()
        if area == "autoscale" and step == "WorkerComponent":
            area, step = "components", "Autoscaler"
        return self.own.get(step) if area == self.area else None


class WorkerBlueprint(_Known):
    """The steps of a worker."""

    name = "Worker"
    area = "components"
    own: ClassVar[dict[str, type[Any]]] = {cls.__name__: cls for cls in components.STEPS}
    default_steps = components.STEPS


class ConsumerBlueprint(_Known):
    """The steps of a consumer: started when the steps' connection is up, and again when it was lost.

    The queues of tasks are consumed by another connection, which does not wait for these steps; that the worker is
    ready is said when both are.
    """

    name = "Consumer"
    area = "consumer"
    own: ClassVar[dict[str, type[Any]]] = {cls.__name__: cls for cls in consumer.STEPS}
    default_steps = consumer.STEPS


def install(worker: Worker) -> StepThread:
    """Create the steps of an app for a worker; before its processes are forked."""
    thread = StepThread(worker)
    worker.step_thread = thread
    worker.blueprint = WorkerBlueprint(worker.app.steps["worker"]).apply(worker, **worker.step_options())
    return thread


class StepThread:
    """The thread.

    Args:
        worker: The worker.

    Attributes:
        parts: The parts of the running worker.
    """

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.parts: WorkerParts
        self._loop: asyncio.AbstractEventLoop
        self._connection: Connection | None = None
        self._consumer: consumer.Consumer | None = None
        self._consumer_types = set(worker.app.steps["consumer"])
        self._wanted = threading.Event()
        self._stop_asked = threading.Event()
        self._terminate = False
        self._pool_gone = threading.Event()
        self._waits_for_pool: asyncio.Event
        self._started: asyncio.Event
        self._ready = False
        self._on_ready: Callable[[], None]
        self._leave: Callable[[int, bool], None]
        self._fail: Callable[[str], None]
        self._thread = threading.Thread(target=self._run, name="bootsteps", daemon=True)
        worker.timer = Timer(self.wake)

    # -- called on the coordinator's loop -----------------------------------------------------------------------

    async def start(
        self,
        parts: WorkerParts,
        on_ready: Callable[[], None],
        leave: Callable[[int, bool], None],
        fail: Callable[[str], None],
        leaving: Coroutine[Any, Any, None],
    ) -> None:
        """Start the steps; returns when those of the worker are started, or one failed.

        Args:
            parts: The parts of the worker.
            on_ready: Called on the loop when those of the consumer are started too.
            leave: Stops the worker with an exit status; at once, if the second argument is True.
            fail: Stops the worker because it cannot go on.
            leaving: Ends when the worker is to stop: steps that are still starting are not waited for.
        """
        from celeriac.worker.pool_view import PoolView

        self.parts, self._loop = parts, parts.loop
        self._on_ready, self._leave, self._fail = on_ready, leave, fail
        self._started, self._waits_for_pool = asyncio.Event(), asyncio.Event()
        worker = self.worker
        worker.hub = Hub(worker.timer, self._loop)
        worker.pool = PoolView(self)
        worker.autoscaler = parts.autoscaler
        self._thread.start()
        waits = [asyncio.ensure_future(self._started.wait()), asyncio.ensure_future(leaving)]
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in pending:
            each.cancel()

    async def stop(self, *, terminate: bool, timeout: float) -> None:
        """Stop the steps, but for those that end after the pool."""
        self._terminate = terminate
        self._stop_asked.set()
        self.wake()
        await self._bounded(self._waits_for_pool, timeout)

    async def finish(self, timeout: float) -> None:
        """Stop the rest: the pool has ended."""
        self._pool_gone.set()
        await asyncio.to_thread(self._thread.join, timeout)
        if self._thread.is_alive():
            logger.error("The bootsteps did not stop within %s seconds", timeout)

    async def _bounded(self, event: asyncio.Event, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            logger.error("The bootsteps did not stop within %s seconds; the worker goes on leaving", timeout)

    # -- called by any thread -----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have the thread look at its timers."""
        self._wanted.set()
        connection = self._connection
        if connection is not None and connection.connected:
            connection.session.wake()

    def on_loop(self, function: Callable[[], T]) -> T:
        """Call a function on the coordinator's loop; returns its result."""

        async def call() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(_LOOP_TIMEOUT)

    def _tell(self, function: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    def await_pool(self) -> None:
        """The steps that require the pool are stopped: wait for its end."""
        self._tell(self._waits_for_pool.set)
        self._pool_gone.wait()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        worker = self.worker
        worker.app.set_current()
        try:
            self._guarded(self._work)
        finally:
            self._tell(self._started.set)
            self._guarded(lambda: worker.blueprint.stop(worker, terminate=self._terminate))
            self._tell(self._waits_for_pool.set)

    def _guarded(self, function: Callable[[], None]) -> None:
        """Call a function; what it raises stops the worker."""
        try:
            function()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
            self._tell(self._leave, code, isinstance(exc, WorkerTerminate))
        except Exception as exc:
            logger.exception("A bootstep failed")
            self._tell(self._fail, repr(exc))

    def _work(self) -> None:
        worker = self.worker
        worker.blueprint.start(worker)
        for step in worker.blueprint.order:
            if hasattr(step, "register_with_event_loop"):
                step.register_with_event_loop(worker, worker.hub)
        self._tell(self._started.set)
        if not (self._consumer_types or worker.app.conf.worker_agent):
            self._report_ready()
            self._serve(None)
            return
        connection = worker.app.connection_for_read()
        view = self._consumer = worker.consumer = consumer.Consumer(self, connection)
        view.blueprint = ConsumerBlueprint(self._consumer_types).apply(view, **worker.step_options())
        try:
            self._keep_connected(view)
        finally:
            view.blueprint.stop(view, terminate=self._terminate)
            view.blueprint.send_all(view, "shutdown")
            self._connection = None
            connection.close()

    def _keep_connected(self, view: consumer.Consumer) -> None:
        """Start the steps with each connection, and stop them when it is lost."""
        attempts = 0
        while not self._stop_asked.is_set():
            try:
                view.connection.connect()
                self._connection = view.connection
                view.blueprint.start(view)
                for step in view.blueprint.order:
                    if hasattr(step, "register_with_event_loop"):
                        step.register_with_event_loop(view, view.hub)
                attempts = 0
                self._report_ready()
                self._serve(view.connection)
            except OperationalError as exc:
                pause = min(_FIRST_RETRY * 2**attempts, _LAST_RETRY) * random.uniform(0.7, 1.0)
                attempts += 1
                logger.warning("The bootsteps lost the broker (%s): trying again in %.2f s", exc, pause)
                self._connection = None
                view.blueprint.restart(view)
                view.connection.close()
                view.restart_count += 1
                self._wait(pause)

    def _report_ready(self) -> None:
        if not self._ready:
            self._ready = True
            if self._consumer is not None and self._consumer.init_callback is not None:
                self._consumer.init_callback(self._consumer)
            self._tell(self._on_ready)

    def _serve(self, connection: Connection | None) -> None:
        """Make the calls that are due and hand over messages, until the worker stops."""
        while not self._stop_asked.is_set():
            # Cleared before looking: a wake-up after that is seen by the next wait.
            self._wanted.clear()
            left = self.worker.timer.run_due()
            if self._stop_asked.is_set():
                return
            wait = _MAX_WAIT if left is None else min(left, _MAX_WAIT)
            if connection is None or not connection.consuming.can_receive:
                self._wanted.wait(wait)
                if connection is not None:
                    connection.consuming.heartbeat()
            else:
                connection.consuming.receive(0.0 if self._wanted.is_set() else wait)

    def _wait(self, seconds: float) -> None:
        self._wanted.clear()
        if not self._stop_asked.is_set():
            self._wanted.wait(seconds)
