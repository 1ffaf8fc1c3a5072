"""What the worker's HTTP port answers: ``/livez``, ``/readyz`` and ``/metrics``.

The answers are made in the server's threads, so that they come when the loop is stuck too: ``/livez`` tells of that.
Everything is read, nothing is changed.
"""

from __future__ import annotations

import logging
import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from celeriac.platform.status_server import NO_METRICS, UNAVAILABLE, Answer, StatusServer, as_json
from celeriac.utils.process import rss_kib
from celeriac.worker.queue_counts import Counts, QueueCounts
from celeriac.worker.shutdown import Stage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from celeriac.broker.base import Broker
    from celeriac.platform.exposition import Exposition, Gauge
    from celeriac.pool.base import Pool
    from celeriac.worker.broker_thread import BrokerThread
    from celeriac.worker.coordinator import Coordinator
    from celeriac.worker.metrics import TaskMetrics

__all__ = ["SETTING", "WorkerStatus"]

logger = logging.getLogger("celeriac.worker")

SETTING: Final = "worker_http_address"
#: Seconds between two looks at the clock of the loop.
_TICK: Final = 1.0
#: Seconds without one after which the worker counts as stuck.
_STUCK: Final = 30.0


class WorkerStatus:
    """The HTTP port of a worker.

    Args:
        address: ``worker_http_address``.
        hostname: Node name.
        broker: Where the queues are.

    Attributes:
        metrics: Counts tasks; None where prometheus_client is not installed.
    """

    def __init__(self, address: str, hostname: str, broker: Broker) -> None:
        self._hostname = hostname
        self._counts = QueueCounts(broker, lambda: self._broker.queue_names)
        self._ticked_at = time.monotonic()
        self._lag = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._coordinator: Coordinator
        self._broker: BrokerThread
        self._pool: Pool
        self._exposition: Exposition | None = None
        self.metrics: TaskMetrics | None = None
        if find_spec("prometheus_client"):
            from celeriac.platform.exposition import Exposition
            from celeriac.worker.metrics import TaskMetrics

            self._exposition = Exposition(self._gauges)
            self.metrics = TaskMetrics(self._exposition.registry)
        self._server = StatusServer(
            address, {"/livez": self.livez, "/readyz": self.readyz, "/metrics": self.scrape}, SETTING
        )

    # -- life, on the loop ----------------------------------------------------------------------------------------

    def start(
        self, loop: asyncio.AbstractEventLoop, coordinator: Coordinator, broker: BrokerThread, pool: Pool
    ) -> None:
        """Begin to answer."""
        self._loop, self._coordinator, self._broker, self._pool = loop, coordinator, broker, pool
        self._server.start()
        logger.info("Probes and metrics: %s", self._server.url)
        self._tick(loop.time())

    def _tick(self, due: float) -> None:
        now = self._loop.time()
        self._lag, self._ticked_at = now - due, time.monotonic()
        self._timer = self._loop.call_later(_TICK, self._tick, now + _TICK)

    def stop(self) -> None:
        """Answer no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._server.stop()
        self._counts.close()

    # -- answers, in the server's threads -------------------------------------------------------------------------

    def livez(self, accept: str) -> Answer:
        """200 while the loop turns; whatever else is wrong, a restart would not help."""
        silence = time.monotonic() - self._ticked_at
        if silence > _STUCK:
            return as_json(UNAVAILABLE, live=False, reason=f"the worker's loop has been stuck for {silence:.0f} s")
        return as_json(live=True)

    def readyz(self, accept: str) -> Answer:
        """200 while the worker takes tasks."""
        reason = self._reason_not_ready()
        if reason is None:
            return as_json(ready=True, hostname=self._hostname)
        return as_json(UNAVAILABLE, ready=False, hostname=self._hostname, reason=reason)

    def _reason_not_ready(self) -> str | None:
        if self._coordinator.stage is not Stage.RUNNING:
            return "the worker is shutting down"
        if self._broker.trouble is not None:
            return f"the broker is away: {self._broker.trouble}"
        if not any(slot.ready for slot in self._pool.slots):
            return "no process of the pool is up"
        return None

    def scrape(self, accept: str) -> Answer:
        """Metrics in Prometheus' text format."""
        if self._exposition is None:
            return NO_METRICS
        text, content_type = self._exposition.render(accept)
        return Answer(text, content_type=content_type)

    def _gauges(self) -> Iterator[Gauge]:
        counts = self._counts.read() if self._broker.trouble is None else Counts()
        yield "queue_ready", "Messages that wait for a worker.", counts.ready
        if counts.delayed:
            yield "queue_delayed", "Messages that are not due yet.", counts.delayed
        if counts.dead is not None:
            yield "queue_dead", "Dead letters of all queues.", counts.dead
        slots = list(self._pool.slots)
        busy = sum(min(len(slot.assigned), slot.capacity) for slot in slots)
        total = sum(slot.capacity for slot in slots if slot.ready)
        pids = {slot.pid for slot in slots} - {0, os.getpid()}
        yield "broker_up", "Whether the broker can be used.", float(self._broker.trouble is None)
        yield "broker_losses_total", "Times the connection to the broker was lost.", self._broker.losses
        yield "worker_ready", "Whether the worker takes tasks.", float(self._reason_not_ready() is None)
        yield "worker_slots", "Tasks that can run at once.", total
        yield "worker_slots_busy", "Tasks that run.", busy
        yield "worker_tasks_held", "Messages that are claimed and not settled.", self._coordinator.held
        yield "worker_child_losses_total", "Processes of the pool that died.", self._coordinator.child_losses
        yield "worker_loop_lag_seconds", "How late the worker's loop is.", self._lag
        yield "worker_rss_bytes", "Resident memory of the worker without its children.", rss_kib() * 1024
        yield "worker_children_rss_bytes", "Resident memory of its children.", sum(map(_rss_bytes, pids))


def _rss_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
