"""Waiting for news of results: by LISTEN where PostgreSQL and psycopg are, else by reading ever more seldom.

Workers of Celery notify nobody: their results are found by reading, at the longest interval.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from typing import TYPE_CHECKING, Final

from celeriac.drivers.datagrams import hash_of
from celeriac.drivers.wakeup import WakePipe
from celeriac.exceptions import OperationalError, SessionLost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.backend.base import BackendOptions
    from celeriac.backend.watching import News
    from celeriac.drivers.postgresql import Connection
    from celeriac.drivers.sql import URL

#: Seconds between reads beside notifications.
SAFETY_INTERVAL: Final = 0.5
#: Seconds between reads without: from, growing by, up to.
FIRST_INTERVAL: Final = 0.005
GROWTH: Final = 1.5
LONGEST_INTERVAL: Final = 0.2
#: Seconds between attempts to be notified again.
RECONNECT_INTERVAL: Final = 1.0

#: Results are announced on one of so many channels, so that news of one task does not wake all who wait.
_CHANNELS: Final = 64


def result_channels(task_ids: Iterable[str]) -> list[str]:
    """Channels on which results of these tasks are announced."""
    return sorted({f"celeriac_result_{hash_of(task_id) % _CHANNELS}" for task_id in task_ids})


def open_news(url: URL, options: BackendOptions) -> News:
    """What tells of results in this database."""
    if url.get_backend_name() != "postgresql" or importlib.util.find_spec("psycopg") is None:
        return PollingNews()
    return NotificationNews(url, options)


class PollingNews:
    """Says that it may be worth reading, ever more seldom until something is added."""

    def __init__(self) -> None:
        self._interval = FIRST_INTERVAL
        self._event = threading.Event()

    def add(self, task_ids: Sequence[str]) -> None:
        self._interval = FIRST_INTERVAL

    def discard(self, task_ids: Sequence[str]) -> None:
        """All that is pending is read."""

    def wait(self, seconds: float | None) -> None:
        self._event.wait(self._interval if seconds is None else min(seconds, self._interval))
        self._event.clear()
        self._interval = min(self._interval * GROWTH, LONGEST_INTERVAL)

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        """There is nothing to leave behind."""


class NotificationNews:
    """Waits for notifications, on a connection of its own.

    Args:
        url: URL of the database.
        options: Deadlines.
    """

    def __init__(self, url: URL, options: BackendOptions) -> None:
        self._url = url
        self._options = options
        self._connection: Connection | None = None
        self._channels: set[str] = set()
        self._polling = PollingNews()
        self._connect_at = 0.0
        self._pipe = WakePipe()

    def add(self, task_ids: Sequence[str]) -> None:
        channels = set(result_channels(task_ids)) - self._channels
        self._channels |= channels
        self._polling.add(task_ids)
        if channels and self._connection is not None:
            try:
                self._listen(self._connection, channels)
            except SessionLost:
                self._drop()

    def discard(self, task_ids: Sequence[str]) -> None:
        """Other tasks may be announced on their channels; a notification too many costs one read."""

    def wait(self, seconds: float | None) -> None:
        connection = self._connection
        if connection is None:
            if not self._connected():
                self._polling.wait(seconds)
            # What was announced before this connection listened has to be read.
            return
        limit = SAFETY_INTERVAL if seconds is None else min(seconds, SAFETY_INTERVAL)
        try:
            if not connection.take_news():
                self._pipe.wait(limit, connection.fileno())
                connection.take_news()
        except SessionLost:
            self._drop()

    def _connected(self) -> bool:
        """Listen on a new connection; False when it is too early to try again, or did not work."""
        from celeriac.drivers.postgresql import Connection

        now = time.monotonic()
        if now < self._connect_at:
            return False
        self._connect_at = now + RECONNECT_INTERVAL
        plain = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            connection = Connection(plain, self._options.connect_timeout, self._options.timeout)
            self._listen(connection, self._channels)
        except OperationalError:
            # Reading goes on, and says what is wrong if it cannot.
            return False
        self._connection = connection
        return True

    def _listen(self, connection: Connection, channels: Iterable[str]) -> None:
        connection.run_pipeline([[(f"LISTEN {channel}", ()) for channel in sorted(channels)]])

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def wake(self) -> None:
        self._polling.wake()
        self._pipe.wake()

    def close(self) -> None:
        self._pipe.close()
        self._drop()
