"""`Connection`: a broker session with a name that snippets for Celery know.  Sessions by thread are `app.sessions`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.app.publisher import RetryPolicy
from celeriac.exceptions import OperationalError, SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker.base import Broker, BrokerSession

__all__ = ["Connection"]


class Connection:
    """One connection to a broker, made when it is first needed; for one thread.

    Args:
        broker: Where to connect.

    `celeriac.events.EventReceiver` and `celeriac.events.EventDispatcher` take it. It is no ``kombu.Connection``: there
    are no channels, and messages of tasks are published by calling tasks.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._session: BrokerSession | None = None

    @property
    def session(self) -> BrokerSession:
        """The session, opened if need be.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        if self._session is None:
            self._session = self.broker.connect()
        return self._session

    @property
    def connected(self) -> bool:
        """It is open, as far as is known."""
        return self._session is not None

    def connect(self) -> Connection:
        """Open it.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        _ = self.session
        return self

    def ensure_connection(
        self,
        errback: Callable[[Exception, float], Any] | None = None,
        max_retries: int | None = None,
        interval_start: float = 2,
        interval_step: float = 2,
        interval_max: float = 30,
    ) -> Connection:
        """Open it, trying as often as it takes.

        Args:
            errback: Called with each error and the seconds until the next attempt.
            max_retries: Attempts after the first; None is any number.
            interval_start: Seconds before the second attempt.
            interval_step: Seconds added with each attempt.
            interval_max: Longest pause in seconds.

        Raises:
            SessionRefused: The broker does not want us.
            OperationalError: There are no attempts left.
        """
        policy = RetryPolicy(max_retries, interval_start, interval_step, interval_max)
        attempt = 0
        while True:
            try:
                return self.connect()
            except SessionRefused:
                raise
            except OperationalError as exc:
                pause = policy.pause(attempt)
                if pause is None:
                    raise
                if errback is not None:
                    errback(exc, pause)
                attempt += 1
                time.sleep(pause)

    def as_uri(self) -> str:
        """Its URL with the password masked."""
        return self.broker.url

    def clone(self) -> Connection:
        """Another connection to the same broker."""
        return Connection(self.broker)

    def close(self) -> None:
        """Close it; it is opened anew when it is needed again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    release = close

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.as_uri()}>"
