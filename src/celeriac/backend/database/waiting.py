"""Waiting for news of results: by LISTEN where PostgreSQL and psycopg are, else by reading ever more seldom.

Workers of Celery notify nobody: their results are found by reading, at the longest interval.
"""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Final, Protocol

from celeriac.drivers.datagrams import hash_of
from celeriac.drivers.wakeup import WakePipe
from celeriac.exceptions import SessionLost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.backend.base import BackendOptions
    from celeriac.drivers.postgresql import Connection
    from celeriac.drivers.sql import URL

#: Seconds between reads beside notifications.
SAFETY_INTERVAL: Final = 0.5
#: Seconds between reads without: from, growing by, up to.
FIRST_INTERVAL: Final = 0.005
GROWTH: Final = 1.5
LONGEST_INTERVAL: Final = 0.2

#: Results are announced on one of so many channels, so that news of one task does not wake all who wait.
_CHANNELS: Final = 64


class Waiter(Protocol):
    """What `watch` waits on."""

    def wait(self, seconds: float | None) -> None:
        """Wait until it is worth reading again, at most so long."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


def result_channels(task_ids: Iterable[str]) -> list[str]:
    """Channels on which results of these tasks are announced."""
    return sorted({f"celeriac_result_{hash_of(task_id) % _CHANNELS}" for task_id in task_ids})


def open_waiter(url: URL, task_ids: Sequence[str], options: BackendOptions) -> Waiter:
    """A waiter fit for the database; it listens from now on."""
    if url.get_backend_name() != "postgresql" or importlib.util.find_spec("psycopg") is None:
        return PollingWaiter()
    return ListeningWaiter(url, task_ids, options)


class PollingWaiter:
    """Waits ever longer."""

    def __init__(self) -> None:
        self._interval = FIRST_INTERVAL

    def wait(self, seconds: float | None) -> None:
        time.sleep(self._interval if seconds is None else min(seconds, self._interval))
        self._interval = min(self._interval * GROWTH, LONGEST_INTERVAL)

    def close(self) -> None:
        """There is nothing to leave behind."""


class ListeningWaiter:
    """Waits for notifications, on a connection of its own.

    Args:
        url: URL of the database.
        task_ids: The tasks.
        options: Deadlines.
    """

    def __init__(self, url: URL, task_ids: Sequence[str], options: BackendOptions) -> None:
        from celeriac.drivers.postgresql import Connection

        self._connection: Connection | None = None
        self._fallback = PollingWaiter()
        self._pipe = WakePipe()
        if task_ids:
            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            self._connection = Connection(plain, options.connect_timeout, options.timeout)
            listens = [(f"LISTEN {channel}", ()) for channel in result_channels(task_ids)]
            self._connection.run_pipeline([listens])

    def wait(self, seconds: float | None) -> None:
        if self._connection is None:
            self._fallback.wait(seconds)
            return
        limit = SAFETY_INTERVAL if seconds is None else min(seconds, SAFETY_INTERVAL)
        try:
            if not self._connection.take_news():
                self._pipe.wait(limit, self._connection.fileno())
                self._connection.take_news()
        except SessionLost:
            # Reading goes on, on other connections.
            self._connection = None

    def close(self) -> None:
        self._pipe.close()
        if self._connection is not None:
            self._connection.close()
