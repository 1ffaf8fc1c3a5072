"""How many messages wait in the queues of a worker, asked on a session of its own, and no more often than needed.

Runs in the status server's threads.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from celeriac.broker.base import CountsDeadLetters, CountsDelayed
from celeriac.exceptions import CeleryError
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.broker.base import Broker, BrokerSession

__all__ = ["Counts", "QueueCounts"]

logger = logging.getLogger("celeriac.worker")

#: Seconds for which an answer of the broker serves all scrapes.
_FRESH: Final = 5.0
#: Seconds that leaving waits for an answer.
_CLOSE_TIMEOUT: Final = 1.0


@dataclass(frozen=True)
class Counts:
    """What the broker told.

    Attributes:
        ready: Messages that wait, by queue.
        delayed: Messages that are not due yet, by queue; empty where the broker does not tell.
        dead: Dead letters of all queues; None where the broker does not tell.
    """

    ready: Mapping[str, int] = field(default_factory=dict)
    delayed: Mapping[str, int] = field(default_factory=dict)
    dead: int | None = None


class QueueCounts:
    """Asks the broker.

    Args:
        broker: The broker.
        names: Gives the names of the queues.
    """

    def __init__(self, broker: Broker, names: Callable[[], Sequence[str]]) -> None:
        self._broker = broker
        self._names = names
        self._lock = threading.Lock()
        self._session: BrokerSession | None = None
        self._asked_at = float("-inf")
        self._counts = Counts()

    def read(self) -> Counts:
        """The counts of the last seconds; none of a broker that is away."""
        with self._lock:
            now = time.monotonic()
            if now - self._asked_at >= _FRESH:
                try:
                    self._counts = self._ask()
                except CeleryError as exc:
                    logger.debug("Queues are not counted: %s", exc)
                    self._counts = Counts()
                    self._drop()
                self._asked_at = now
            return self._counts

    def _ask(self) -> Counts:
        if self._session is None:
            self._session = self._broker.connect()
        session, names = self._session, list(self._names())
        delayed = session.count_delayed(names) if isinstance(session, CountsDelayed) else {}
        dead = session.count_dead_letters() if isinstance(session, CountsDeadLetters) else None
        return Counts(session.depths(names), delayed, dead)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def close(self) -> None:
        """Ask no more."""
        self._asked_at = float("inf")
        # Whoever waits for a broker right now closes nothing, and ends with the process.
        if self._lock.acquire(timeout=_CLOSE_TIMEOUT):
            self._drop()
            self._lock.release()
