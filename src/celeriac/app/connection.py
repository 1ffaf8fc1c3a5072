"""`Connection`: a broker session with a name that snippets for Celery know.  Sessions by thread are `app.sessions`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.app.publisher import OneSession, Publisher, RetryPolicy
from celeriac.broker.base import BrokerOptions
from celeriac.exceptions import OperationalError, SessionRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker.base import Broker, BrokerSession
    from celeriac.messaging.channel import Channel, Consuming
    from celeriac.messaging.consumer import Consumer
    from celeriac.messaging.producer import Producer
    from celeriac.messaging.simple import SimpleQueue

__all__ = ["Connection"]


class Transport(NamedTuple):
    """What monitors ask of a broker.

    Attributes:
        driver_type: Its kind: ``redis``, ``amqp``, ``sqs`` …
        driver_name: What speaks to it.
    """

    driver_type: str
    driver_name: str


class Connection:
    """One connection to a broker, made when it is first needed; for one thread.

    Args:
        broker: Where to connect.
        heartbeat: Seconds between two extensions of the lease, while messages are consumed.
        publisher: The app's; None is no app's.
        url: Its URL with the password; None where it has none.

    Attributes:
        connection_errors: What is raised when the broker cannot be reached, or the connection breaks.
        recoverable_connection_errors: The same: trying again may help.

    `celeriac.events.EventReceiver`, `celeriac.events.EventDispatcher` and `celeriac.messaging.Consumer` take it.
    Messages of tasks are published by calling tasks.
    """

    connection_errors: tuple[type[BaseException], ...] = (OperationalError,)
    recoverable_connection_errors = connection_errors

    def __init__(
        self, broker: Broker, *, heartbeat: float = 5.0, publisher: Publisher | None = None, url: str | None = None
    ) -> None:
        self.broker = broker
        self._url = url
        self._heartbeat = heartbeat
        self._publisher = publisher
        self._session: BrokerSession | None = None
        self._consuming: Consuming | None = None
        self._default_channel: Channel | None = None

    @property
    def session(self) -> BrokerSession:
        """The session, opened if need be.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        return self.open_session()

    def open_session(self, timeout: float | None = None) -> BrokerSession:
        """The session, opened if need be.

        Args:
            timeout: Seconds for opening it; None is the broker's own limit.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        if self._session is None:
            self._session = self.broker.connect(timeout=timeout)
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

    @property
    def consuming(self) -> Consuming:
        """What is consumed by it, and by whom."""
        if self._consuming is None:
            # Most connections publish.
            from celeriac.messaging.channel import Consuming

            self._consuming = Consuming(self, self._heartbeat)
        return self._consuming

    def channel(self) -> Channel:
        """A channel, for consumers that are closed together."""
        from celeriac.messaging.channel import Channel

        return Channel(self, self.consuming)

    @property
    def default_channel(self) -> Channel:
        """A channel that stays."""
        if self._default_channel is None:
            self._default_channel = self.channel()
        return self._default_channel

    @property
    def publisher(self) -> Publisher:
        """Publishes through it: as its app does, or with the defaults where it is no app's."""
        if self._publisher is None:
            return Publisher(OneSession(self), BrokerOptions().publish_timeout, None)
        return self._publisher.through(self)

    def Producer(self, channel: Any = None, *args: Any, **options: Any) -> Producer:
        """Publishes messages that are no calls of tasks; takes what `celeriac.messaging.Producer` takes."""
        from celeriac.messaging.producer import Producer

        return Producer(channel or self, *args, **options)

    def Consumer(self, queues: Any = None, channel: Any = None, *args: Any, **options: Any) -> Consumer:
        """Gets messages from queues; takes what `celeriac.messaging.Consumer` takes."""
        from celeriac.messaging.consumer import Consumer

        return Consumer(channel or self, queues, *args, **options)

    def SimpleQueue(self, name: Any, no_ack: bool | None = None, **options: Any) -> SimpleQueue:
        """A queue with ``put`` and ``get``; takes what `celeriac.messaging.SimpleQueue` takes."""
        from celeriac.messaging.simple import SimpleQueue

        return SimpleQueue(options.pop("channel", None) or self, name, no_ack, **options)

    def drain_events(self, timeout: float | None = None) -> None:
        """Hand messages to the consumers of its channels, at least one.

        Args:
            timeout: Seconds to wait for it; None is as long as it takes.

        Raises:
            TimeoutError: None came in time.
            OperationalError: The connection broke.
        """
        self.consuming.drain(timeout)

    @property
    def transport(self) -> Transport:
        """What kind of broker it goes to."""
        return Transport(self.broker.capabilities.name, "celeriac")

    def as_uri(self, include_password: bool = False) -> str:
        """Its URL, with the password masked.

        Args:
            include_password: Do not mask it.
        """
        return self._url if include_password and self._url is not None else self.broker.url

    def clone(self) -> Connection:
        """Another connection to the same broker."""
        return Connection(self.broker, heartbeat=self._heartbeat, publisher=self._publisher, url=self._url)

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
