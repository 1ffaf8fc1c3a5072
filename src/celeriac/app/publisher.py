"""Publishing under one absolute deadline: connecting, writing, confirming and retrying.  It encodes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.exceptions import (
    ImproperlyConfigured,
    OperationalError,
    PublishTimeout,
    SessionClosed,
    SessionLost,
    SessionRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.app.connection import Connection
    from celeriac.app.sessions import Sessions
    from celeriac.broker.base import BrokerSession
    from celeriac.broker.topology import Queue
    from celeriac.message import Publication

__all__ = ["OneSession", "Publisher", "RetryPolicy"]

_POLICY_KEYS = frozenset({"max_retries", "interval_start", "interval_step", "interval_max", "retry_errors"})


class RetryPolicy(NamedTuple):
    """How often, and after what pauses, a publish is tried again within its deadline.

    Attributes:
        max_retries: Attempts after the first; None is as many as the deadline allows.
        interval_start: Seconds before the first retry.
        interval_step: Seconds added with each retry.
        interval_max: Longest pause in seconds.
        retry_errors: Exceptions that are tried again besides `OperationalError`.
    """

    max_retries: int | None = 3
    interval_start: float = 0.0
    interval_step: float = 0.2
    interval_max: float = 1.0
    retry_errors: tuple[type[BaseException], ...] = ()

    @classmethod
    def from_mapping(cls, policy: Mapping[str, Any]) -> RetryPolicy:
        """Read the form of ``task_publish_retry_policy``.

        Raises:
            ImproperlyConfigured: A key is unknown.
        """
        unknown = sorted(policy.keys() - _POLICY_KEYS)
        if unknown:
            raise ImproperlyConfigured(f"retry_policy has the unknown keys {unknown}; known are {sorted(_POLICY_KEYS)}")
        given = {key: value for key, value in policy.items() if value is not None or key == "max_retries"}
        given["retry_errors"] = tuple(given.get("retry_errors", ()))
        return cls(**given)

    def pause(self, attempt: int) -> float | None:
        """Seconds before retry number ``attempt`` (from 0); None when there are no more."""
        if self.max_retries is not None and attempt >= self.max_retries:
            return None
        return min(self.interval_start + attempt * self.interval_step, self.interval_max)


class Publisher:
    """Publishes through the calling thread's session.

    Args:
        sessions: Sessions by thread.
        timeout: Seconds for one publish, everything included (``broker_publish_timeout``).
        policy: The app's retry policy; None does not retry.
        announce: Makes the message that tells of others, which goes with them; None, or None from it, is no such one.

    Attributes:
        relay: Publishes a single message in its own way, within some seconds, or says that it does not.
    """

    def __init__(
        self,
        sessions: Sessions | OneSession,
        timeout: float,
        policy: RetryPolicy | None,
        announce: Callable[[Sequence[Publication]], Publication | None] | None = None,
    ) -> None:
        self._announce = announce
        self.sessions = sessions
        self.timeout = timeout
        self.policy = policy
        self.relay: Callable[[Any, Publication, float], bool] | None = None

    def through(self, via: Any) -> Publisher:
        """The same, but through one connection.

        Args:
            via: A connection of an app, or a producer that has one.

        Raises:
            ImproperlyConfigured: It is neither.
        """
        connection = getattr(via, "connection", via)
        if not hasattr(connection, "session"):
            raise ImproperlyConfigured(
                f"{via!r} is no connection to publish through: take one from app.connection_for_write(), app.pool or "
                "app.producer_pool"
            )
        return Publisher(OneSession(connection), self.timeout, self.policy, self._announce)

    def publish(
        self,
        publication: Publication,
        *,
        timeout: float | None = None,
        retry: bool | None = None,
        retry_policy: RetryPolicy | Mapping[str, Any] | None = None,
    ) -> None:
        """Publish one message; returns once the broker has taken responsibility for it.

        Args:
            publication: The message and where it goes.
            timeout: Seconds for everything; None is the app's ``broker_publish_timeout``.
            retry: Try again after a failure; None is the app's ``task_publish_retry``.
            retry_policy: Replaces the app's policy.

        Raises:
            PublishTimeout: Time is up; the message may or may not have been accepted.
            OperationalError: The broker cannot be reached, or refused.
        """
        self.publish_many((publication,), timeout=timeout, retry=retry, retry_policy=retry_policy)

    def publish_many(
        self,
        publications: Sequence[Publication],
        *,
        timeout: float | None = None,
        retry: bool | None = None,
        retry_policy: RetryPolicy | Mapping[str, Any] | None = None,
        declare: Sequence[Queue] = (),
    ) -> None:
        """Publish several messages as `publish` does one, confirmed together.

        After a failure in the middle all are sent again: a message may then arrive twice, under the same id.

        Args:
            publications: The messages and where they go.
            timeout: As for `publish`.
            retry: As for `publish`.
            retry_policy: As for `publish`.
            declare: Queues to declare before, besides those of the destinations.
        """
        limit = self.timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        if self._announce is not None and (announcement := self._announce(publications)) is not None:
            publications = (*publications, announcement)
        try:
            session = self.sessions.get(limit)
            if declare:
                session.declare(declare)
            relay = self.relay
            if relay is None or len(publications) != 1 or not relay(session, publications[0], limit):
                session.publish_many(publications, timeout=limit)
        except Exception as exc:
            policy = self._policy(retry, retry_policy)
            self._try_again(publications, exc, deadline, limit, policy, declare)

    def _policy(self, retry: bool | None, given: RetryPolicy | Mapping[str, Any] | None) -> RetryPolicy | None:
        if retry is False or (retry is None and self.policy is None):
            return None
        if given is None:
            return self.policy or RetryPolicy()
        return self.merged_policy(given)

    def merged_policy(self, given: RetryPolicy | Mapping[str, Any]) -> RetryPolicy:
        """A policy of one call: what it leaves out is the app's."""
        if isinstance(given, RetryPolicy):
            return given
        base = self.policy or RetryPolicy()
        own = {key: getattr(base, key) for key in _POLICY_KEYS}
        return RetryPolicy.from_mapping({**own, **given})

    def _try_again(
        self,
        publications: Sequence[Publication],
        error: Exception,
        deadline: float,
        limit: float,
        policy: RetryPolicy | None,
        declare: Sequence[Queue],
    ) -> None:
        """Repeat until it works, the policy is used up, or time is."""
        attempt = 0
        while True:
            self._forget_broken(error)
            pause = None if policy is None or not _may_retry(error, policy) else policy.pause(attempt)
            if pause is None:
                raise error
            now = time.monotonic()
            if now + pause >= deadline:
                raise PublishTimeout(
                    f"Publishing did not succeed within {limit:g} s (broker_publish_timeout, or the option timeout); "
                    f"the last error was: {error}"
                ) from error
            if pause:
                time.sleep(pause)
            attempt += 1
            try:
                left = max(deadline - time.monotonic(), 0.001)
                session = self.sessions.get(left)
                if declare:
                    session.declare(declare)
                session.publish_many(publications, timeout=max(deadline - time.monotonic(), 0.001))
                return
            except Exception as exc:
                error = exc

    def _forget_broken(self, error: Exception) -> None:
        """A session that failed is not trusted again: what state its connection is in is unknown."""
        if isinstance(error, SessionLost | SessionClosed | PublishTimeout):
            self.sessions.drop()


class OneSession:
    """That of a connection, where a publisher looks for the session of its thread."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, timeout: float | None = None) -> BrokerSession:
        return self._connection.open_session(timeout)

    def drop(self) -> None:
        self._connection.close()


def _may_retry(error: Exception, policy: RetryPolicy) -> bool:
    if isinstance(error, SessionRefused | PublishTimeout):
        return False
    return isinstance(error, (OperationalError, *policy.retry_errors))
