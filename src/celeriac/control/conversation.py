"""Sending a request and collecting the replies, on a session of the calling thread that keeps its reply queue."""

from __future__ import annotations

import logging
import time
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from celeriac.control.mailbox import Mailbox, MailboxApp, Request
from celeriac.exceptions import SerializationError, SessionClosed, SessionLost
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.broker.base import Broker, BrokerSession

logger = logging.getLogger("celeriac.control")

#: Replies taken at once, and seconds between two signs of life of a session that waits.
_BATCH, _HEARTBEAT = 100, 5.0
#: Seconds to wait for replies, where nothing else is said.
DEFAULT_TIMEOUT = 1.0
#: Where workers of Celery are not counted: seconds they have after the last worker that is, and how many times as long
#: as that one needed.
_GRACE, _GRACE_RATIO = 0.25, 10.0


class SessionSource(Protocol):
    """Sessions by thread."""

    def get(self, timeout: float | None = None) -> BrokerSession: ...

    def drop(self) -> None: ...

    @property
    def oid(self) -> str: ...


class ConversationApp(MailboxApp, Protocol):
    """What conversations need of an app."""

    @property
    def control_sessions(self) -> SessionSource: ...

    @property
    def broker(self) -> Broker: ...


class _Replies:
    """What was answered, and whether anybody else may.

    Args:
        expected: Replies after which nobody else will answer; None where that is not known.
        counted: Workers of ours that hear the request, where only those are counted; None is unknown.
        timeout: Seconds to wait.
    """

    def __init__(self, expected: int | None, counted: int | None, timeout: float) -> None:
        self.bodies: list[dict[str, Any]] = []
        self._expected = expected
        self._counted = counted
        self._began = time.monotonic()
        self.deadline = self._began + timeout
        self._ours = 0
        self._grace_until = self.deadline

    def add(self, body: dict[str, Any], *, is_ours: bool) -> None:
        """Take a reply in."""
        self.bodies.append(body)
        if self._counted is None:
            return
        if not is_ours:
            # Where one worker of Celery is there may be more, and they get all the time there is.
            self._counted = None
            return
        self._ours += 1
        if self._ours == self._counted:
            now = time.monotonic()
            self._grace_until = now + max(_GRACE, _GRACE_RATIO * (now - self._began))

    def left(self) -> float:
        """Seconds to wait for more."""
        if self._expected is not None and len(self.bodies) >= self._expected:
            return 0.0
        complete = self._counted is not None and 0 < self._counted <= self._ours
        return (min(self._grace_until, self.deadline) if complete else self.deadline) - time.monotonic()


class Conversations:
    """Requests of one app.

    Args:
        app: The app.
    """

    def __init__(self, app: ConversationApp) -> None:
        self._app = app
        self._mailbox = Mailbox(app)
        #: Sessions that consume their reply queue.
        self._listening: weakref.WeakSet[Any] = weakref.WeakSet()

    def tell(self, request: Request) -> None:
        """Send a request that nobody answers.

        Raises:
            OperationalError: The broker did not take it.
        """
        self._session().broadcast(self._mailbox.exchange, self._mailbox.request(request))

    def keep(self, topic: str, notices: Sequence[str], seconds: float) -> None:
        """Keep notices in the broker.

        Raises:
            OperationalError: The broker did not take them.
        """
        self._session().keep_notices(topic, notices, seconds=seconds)

    def ask(
        self,
        method: str,
        arguments: Mapping[str, Any],
        *,
        timeout: float,
        limit: int | None = None,
        callback: Callable[[Any], None] | None = None,
        **about: Any,
    ) -> list[dict[str, Any]]:
        """Send a request and return the replies, one mapping for each node.

        It ends when every node that was asked has answered.  Where the broker counts our workers only, it ends when
        they have, and none of Celery answers within a while.

        Args:
            method: Name of the command.
            arguments: Its arguments.
            timeout: Seconds to wait.
            limit: End after so many replies.
            callback: Called with each reply.
            **about: Attributes of `Request`.

        Raises:
            OperationalError: The broker cannot be reached.
        """
        session = self._session(listening=True)
        request = Request(
            method, arguments, ticket=uuid4(), reply_to=self._app.control_sessions.oid,
            expires=time.time() + timeout, **about,
        )  # fmt: skip
        receivers = session.broadcast(self._mailbox.exchange, self._mailbox.request(request))
        if limit is None and request.destination:
            limit = len(set(request.destination))
        counted = None
        if receivers is not None and not (request.pattern and request.matcher):
            if self._app.broker.capabilities.counts_receivers:
                limit = receivers if limit is None else min(limit, receivers)
            elif not (request.destination or self._app.conf.celery_defaults):
                counted = receivers
        return self._collect(session, request, _Replies(limit, counted, timeout), callback)

    def _collect(
        self, session: BrokerSession, request: Request, replies: _Replies, callback: Callable[[Any], None] | None
    ) -> list[dict[str, Any]]:
        beat = time.monotonic() + _HEARTBEAT
        while (left := replies.left()) > 0:
            now = time.monotonic()
            if now >= beat:
                session.heartbeat()
                beat = now + _HEARTBEAT
            deliveries = session.fetch(limit=_BATCH, wait=min(left, beat - now))
            session.ack_many(deliveries)
            for delivery in deliveries:
                try:
                    ticket, body, is_ours = self._mailbox.read_reply(delivery.message)
                except SerializationError as exc:
                    logger.warning("A reply to the command %s cannot be read: %s", request.method, exc)
                    continue
                if ticket == request.ticket:
                    replies.add(body, is_ours=is_ours)
                    if callback is not None:
                        callback(body)
        return replies.bodies

    def _session(self, *, listening: bool = False) -> BrokerSession:
        """The session of this thread, which the broker has not given up in the meantime."""
        sessions = self._app.control_sessions
        session = sessions.get()
        try:
            # Late replies of an earlier request are nobody's any more; and a broken connection shows itself.
            session.ack_many(session.fetch(limit=_BATCH, wait=0))
        except (SessionLost, SessionClosed):
            sessions.drop()
            session = sessions.get()
        if listening and session not in self._listening:
            session.consume([self._mailbox.reply_queue(sessions.oid)])
            self._listening.add(session)
        return session
