"""The events of a worker on their way to the broker: buffered, sent many in a message, given up when nobody takes them.

One thread with a session of its own publishes; whoever adds an event waits for nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.events.wire import Envelopes
from celeriac.exceptions import Unroutable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.events.wire import Told
    from celeriac.message import Publication

logger = logging.getLogger("celeriac.worker.events")

__all__ = ["EventPublisher"]

#: Events that wait for a broker out of reach; more push out the oldest.
MAX_WAITING = 20_000
#: Events in one message.
MAX_BATCH = 250
#: Seconds in which events gather, so that a busy worker sends few messages.
LINGER = 0.02
#: The same while nobody listens, when all that is sent is a question whether that is still so.
LINGER_UNHEARD = 0.1
#: Tasks to be told of between two such questions: a slow worker tells of all, so that whoever begins to listen misses
#: nothing, and a busy one of a part, because telling would cost it its time; and seconds for which an answer is true.
MAX_UNHEARD, UNHEARD_FOR = 100, 0.5
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
        # Runs of events that come one after the other, each with the logical clock of its first.
        self._waiting: deque[tuple[int, Sequence[Told]]] = deque()
        self._count = 0
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._stopping = threading.Event()
        # Attempts that failed since the last that did not.
        self._failures = 0
        # Somebody took the last events about tasks.
        self._heard = True
        self._unheard_at = float("-inf")
        # Counts down on the loop, and begins anew here.
        self._unheard_room = MAX_UNHEARD
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Begin to publish; events added before are not lost."""
        self._thread.start()

    def room(self, count: int) -> int:
        """Of how many tasks to tell, of so many that there are."""
        if self._heard or time.monotonic() - self._unheard_at > UNHEARD_FOR:
            return count
        count = min(count, self._unheard_room)
        self._unheard_room -= count
        return count

    def add(self, first: int, events: Sequence[Told]) -> None:
        """Have events published; they are all about tasks, or there is one.

        Args:
            first: Logical clock of the first; each has one of its own.
            events: The events.
        """
        self._put(((first, events),))
        if not self._wanted.is_set():
            self._wanted.set()

    def _put(self, runs: Iterable[tuple[int, Sequence[Told]]], *, back: bool = False) -> None:
        """Have runs wait; ``back`` puts them where they were taken from."""
        with self._lock:
            for run in runs:
                self._count += len(run[1])
                if back:
                    self._waiting.appendleft(run)
                else:
                    self._waiting.append(run)
            while self._count > MAX_WAITING:
                self._count -= len(self._waiting.popleft()[1])

    def _take(self) -> list[tuple[int, Sequence[Told]]]:
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            self._count = 0
            return taken

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
            self._stopping.wait(LINGER if self._heard else LINGER_UNHEARD)
            self._wanted.clear()
            self._unheard_room = MAX_UNHEARD
            self._publish()
            if self._failures and not self._stopping.wait(RETRY_AFTER):
                self._wanted.set()
        self._publish(LAST_TIMEOUT_FAILING if self._failures else LAST_TIMEOUT)

    def _publish(self, timeout: float | None = None) -> None:
        """Publish what waits; an attempt that fails leaves it waiting."""
        taken = self._take()
        if not taken:
            return
        try:
            self._send(taken, timeout)
        except Exception as exc:
            self._failures += 1
            # What keeps the whole worker from its broker is said by those who fetch tasks, and may end it.
            if self._failures == 2 and not self._stopping.is_set():
                logger.warning(
                    "Events cannot be published (%s: %s); the newest %d wait for the broker",
                    type(exc).__name__, exc, MAX_WAITING,
                )  # fmt: skip
            self._put(reversed(taken), back=True)
        else:
            if self._failures > 1:
                logger.info("Events are published again")
            self._failures = 0

    def _send(self, taken: list[tuple[int, Sequence[Told]]], timeout: float | None) -> None:
        """Publish events: those about the worker one by one, those about tasks in lists while anybody listens."""
        own = [run for run in taken if not run[1][0][0].startswith("task-")]
        about_tasks = [run for run in taken if run[1][0][0].startswith("task-")] if own else taken
        publication, broker, make = self._envelopes.publication, self._app.broker, self._envelopes.events
        if own:
            # Not as plain ones: a worker that has no tasks to tell of does without msgspec.
            self._publish_many([publication(make(*run)[0], broker) for run in own], timeout)
        if not about_tasks or not (self._heard or self._reaches([publication([], broker)], timeout)):
            return
        events = [event for run in about_tasks for event in make(*run)]
        batches = [events[at : at + MAX_BATCH] for at in range(0, len(events), MAX_BATCH)]
        self._reaches([publication(batch, broker, plain=True) for batch in batches], timeout)

    def _reaches(self, publications: list[Publication], timeout: float | None) -> bool:
        """Publish lists of events about tasks; False when nobody listens."""
        publications[0].mandatory = True
        try:
            self._publish_many(publications, timeout)
        except Unroutable:
            self._heard, self._unheard_at = False, time.monotonic()
        else:
            self._heard = True
        return self._heard

    def _publish_many(self, publications: list[Publication], timeout: float | None) -> None:
        self._app.publisher.publish_many(publications, timeout=timeout, retry=False)
