"""The events of a worker on their way to the broker: buffered, sent many in a message, given up when nobody takes them.

One thread with a session of its own publishes; whoever adds an event waits for nothing.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Any

from celeriac.events.wire import Envelopes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from celeriac.message import Publication

    #: Type, Unix time, logical clock, fields.
    Raw: TypeAlias = tuple[str, float, int, Mapping[str, Any]]

logger = logging.getLogger("celeriac.worker.events")

__all__ = ["EventPublisher"]

#: Events that wait for a broker out of reach; more push out the oldest.
MAX_WAITING = 20_000
#: Events in one message.
MAX_BATCH = 250
#: Seconds in which events gather, so that a busy worker sends few messages.
LINGER = 0.02
#: Seconds between attempts at a broker out of reach.
RETRY_AFTER = 1.0
#: Seconds for the last attempt when the worker leaves, and for one at a broker that was out of reach before.
LAST_TIMEOUT, LAST_TIMEOUT_FAILING = 5.0, 1.0


class EventPublisher:
    """Publishes the events of a worker.

    Args:
        app: The application.
        hostname: Node name of the worker.
    """

    def __init__(self, app: Any, hostname: str) -> None:
        self._app = app
        self._envelopes = Envelopes(app, hostname)
        self._waiting: deque[Raw] = deque(maxlen=MAX_WAITING)
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to publish; events added before are not lost."""
        self._thread.start()

    def add(self, event: Raw) -> None:
        """Have an event published."""
        self._waiting.append(event)
        if not self._wanted.is_set():
            self._wanted.set()

    def stop(self, timeout: float) -> None:
        """Publish what waits, in one attempt, and end.

        Args:
            timeout: Seconds to wait for that.
        """
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wanted.wait()
            self._stopping.wait(LINGER)
            self._wanted.clear()
            self._publish()
            if self._failing and not self._stopping.wait(RETRY_AFTER):
                self._wanted.set()
        self._publish(LAST_TIMEOUT_FAILING if self._failing else LAST_TIMEOUT)

    def _publish(self, timeout: float | None = None) -> None:
        """Publish what waits; an attempt that fails leaves it waiting."""
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(len(waiting))]
        if not taken:
            return
        try:
            self._app.publisher.publish_many(self._publications(taken), timeout=timeout, retry=False)
        except Exception as exc:
            if not self._failing:
                logger.warning(
                    "Events cannot be published (%s: %s); the newest %d wait for the broker",
                    type(exc).__name__, exc, MAX_WAITING,
                )  # fmt: skip
            self._failing = True
            # What came meanwhile is newer.
            newer = [waiting.popleft() for _ in range(len(waiting))]
            waiting.extend((*taken, *newer))
        else:
            if self._failing:
                logger.info("Events are published again")
            self._failing = False

    def _publications(self, taken: list[Raw]) -> list[Publication]:
        """Messages of events: those about tasks in lists, those about the worker one by one."""
        make, publication, broker = self._envelopes.event, self._envelopes.publication, self._app.broker
        events = [make(type_, fields, clock, timestamp=at) for type_, at, clock, fields in taken]
        found: list[Publication] = []
        for of_tasks, group in groupby(events, lambda event: event["type"].startswith("task-")):
            if of_tasks:
                run = list(group)
                found += [publication(run[at : at + MAX_BATCH], broker) for at in range(0, len(run), MAX_BATCH)]
            else:
                found += [publication(event, broker) for event in group]
        return found
