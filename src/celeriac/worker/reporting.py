"""What a worker tells those who listen to events: that it is there, and how its tasks fare.  Runs on the loop.

It makes events; publishing them is the publisher's thread's.  What happens inside a task, its process reports.
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING, Any, Final

from celeriac import signals
from celeriac._version import __version__
from celeriac.utils.dataclass import dataclass
from celeriac.utils.saferepr import saferepr

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.events.publisher import EventPublisher
    from celeriac.events.wire import Told
    from celeriac.typing import Headers
    from celeriac.utils.clock import LamportClock
    from celeriac.worker.ledger import Entry

__all__ = ["EventOptions", "EventReporter"]

#: Seconds that leaving may take because of events.
_STOP_TIMEOUT = 8.0
#: Characters of the text of an exception.
_TEXT_LENGTH = 1024
_SOFTWARE: Final = {"sw_ident": "celeriac", "sw_ver": __version__, "sw_sys": platform.system()}


@dataclass(frozen=True)
class EventOptions:
    """Which events a worker sends.

    Attributes:
        hostname: Node name.
        task_events: Those about tasks too, from the start.
        heartbeat_interval: Seconds between two heartbeats; 0 sends none, nor that the worker comes and goes.
    """

    hostname: str
    task_events: bool = False
    heartbeat_interval: float = 10.0


class EventReporter:
    """Makes the events of a worker.

    Args:
        options: Which ones.
        publisher: Takes them to the broker.
        clock: The logical clock of the process.

    Attributes:
        task_events: Events about tasks are sent.
        processed: Tasks that ended here.
    """

    def __init__(self, options: EventOptions, publisher: EventPublisher, clock: LamportClock) -> None:
        self.task_events = options.task_events
        self.processed = 0
        self._options = options
        self._publisher = publisher
        self._clock = clock
        self._count_active: Callable[[], int] = int
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None
        self._started = False

    # -- the worker ---------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, count_active: Callable[[], int]) -> None:
        """Say that the worker is there, and go on saying so.

        Args:
            loop: The coordinator's loop.
            count_active: Gives the number of tasks that run.
        """
        self._loop, self._count_active = loop, count_active
        if self._options.heartbeat_interval or self.task_events:
            self._start_publishing()
        if self._options.heartbeat_interval:
            self._send_state("worker-online")
            self._arm()

    def _start_publishing(self) -> None:
        if not self._started:
            self._started = True
            self._publisher.start()

    def _arm(self) -> None:
        self._timer = self._loop.call_later(self._options.heartbeat_interval, self._beat)

    def _beat(self) -> None:
        self.heartbeat()
        self._arm()

    def heartbeat(self) -> None:
        """Say at once that the worker is there."""
        self._start_publishing()
        self._send_state("worker-heartbeat")
        if signals.heartbeat_sent.receivers:
            signals.heartbeat_sent.send(sender=self)

    def stop(self) -> None:
        """Say that the worker leaves; returns when that is published, or cannot be. Call it off the loop."""
        if self._timer is not None:
            self._timer.cancel()
        if self._options.heartbeat_interval:
            self._send_state("worker-offline")
        if self._started:
            self._publisher.stop(_STOP_TIMEOUT)

    def _send_state(self, type_: str) -> None:
        fields = {
            "freq": self._options.heartbeat_interval,
            "active": self._count_active(),
            "processed": self.processed,
            "loadavg": [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else [0.0, 0.0, 0.0],
            **_SOFTWARE,
        }
        self.send(type_, fields)

    def send(self, type_: str, fields: Mapping[str, Any]) -> None:
        """Send an event of any type."""
        self._start_publishing()
        self._publisher.add(self._clock.forward(), [(type_, time.time(), fields)])

    # -- turning events of tasks on and off ----------------------------------------------------------------------

    def enable_task_events(self) -> bool:
        """Send events about tasks from now on; False when they were sent before."""
        changed, self.task_events = not self.task_events, True
        self._start_publishing()
        return changed

    def disable_task_events(self) -> bool:
        """Send no more events about tasks; False when none were sent before."""
        changed, self.task_events = self.task_events, False
        return changed

    # -- tasks --------------------------------------------------------------------------------------------------

    def received(self, entries: Sequence[Entry]) -> None:
        """Tasks were taken in; from here on their processes report about them."""
        if self.task_events and entries:
            now = time.time()
            told: list[Told] = []
            for entry in entries[: self._publisher.room(len(entries))]:
                if entry.plan.send_events:
                    entry.job.events = True
                    told.append(("task-received", now, (entry.job.headers,)))
            self.relay(told)

    def relay(self, events: Sequence[Told]) -> None:
        """Pass on what the process of a task reported."""
        if self.task_events and events:
            self._publisher.add(self._clock.forward(len(events)) - len(events) + 1, events)

    def failed(self, headers: Headers, exc: BaseException) -> None:
        """A task failed without its process: that died, was killed, or there was no such task."""
        if self.task_events:
            text = saferepr(exc, _TEXT_LENGTH)
            self.send(
                "task-failed",
                {"uuid": headers.get("id"), "exception": text, "traceback": f"{type(exc).__name__}: {exc}"},
            )

    def retried(self, headers: Headers, exc: BaseException) -> None:
        """A task is tried again because its process died."""
        if self.task_events:
            fields = {"uuid": headers.get("id"), "exception": saferepr(exc, _TEXT_LENGTH),
                      "traceback": f"{type(exc).__name__}: {exc}"}  # fmt: skip
            self.send("task-retried", fields)

    def rejected(self, headers: Headers, *, requeue: bool) -> None:
        """A message was given back, or set aside, by the worker itself."""
        if self.task_events:
            self.send("task-rejected", {"uuid": headers.get("id"), "requeue": requeue})

    def revoked(
        self, headers: Headers, *, terminated: bool = False, signum: int | None = None, expired: bool = False
    ) -> None:
        """A task will not run, or was ended.

        Args:
            headers: Of its message.
            terminated: It was running.
            signum: The signal that ended it.
            expired: Its time to begin had passed.
        """
        if self.task_events:
            fields = {"uuid": headers.get("id"), "terminated": terminated, "signum": signum, "expired": expired}
            self.send("task-revoked", fields)
