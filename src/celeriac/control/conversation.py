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

    from celeriac.broker.base import BrokerSession

logger = logging.getLogger("celeriac.control")

#: Replies taken at once, and seconds between two signs of life of a session that waits.
_BATCH, _HEARTBEAT = 100, 5.0
#: Seconds to wait for replies, where nothing else is said.
DEFAULT_TIMEOUT = 1.0


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

        It ends when every node that was asked has answered, as far as the broker tells how many there are.

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
        deadline = time.monotonic() + timeout
        request = Request(
            method, arguments, ticket=uuid4(), reply_to=self._app.control_sessions.oid,
            expires=time.time() + timeout, **about,
        )  # fmt: skip
        receivers = session.broadcast(self._mailbox.exchange, self._mailbox.request(request))
        if limit is None and request.destination:
            limit = len(set(request.destination))
        expected = [] if limit is None else [limit]
        if receivers is not None and not (request.pattern and request.matcher):
            expected.append(receivers)
        return self._collect(session, request, min(expected, default=None), deadline, callback)

    def _collect(
        self,
        session: BrokerSession,
        request: Request,
        expected: int | None,
        deadline: float,
        callback: Callable[[Any], None] | None,
    ) -> list[dict[str, Any]]:
        replies: list[dict[str, Any]] = []
        beat = time.monotonic() + _HEARTBEAT
        while expected is None or len(replies) < expected:
            now = time.monotonic()
            if now >= deadline:
                break
            if now >= beat:
                session.heartbeat()
                beat = now + _HEARTBEAT
            deliveries = session.fetch(limit=_BATCH, wait=min(deadline, beat) - now)
            session.ack_many(deliveries)
            for delivery in deliveries:
                try:
                    ticket, body = self._mailbox.read_reply(delivery.message)
                except SerializationError as exc:
                    logger.warning("A reply to the command %s cannot be read: %s", request.method, exc)
                    continue
                if ticket == request.ticket:
                    replies.append(body)
                    if callback is not None:
                        callback(body)
        return replies

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
