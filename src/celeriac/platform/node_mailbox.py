"""A node's mailbox: hears commands and answers them.  One thread, with a broker session of its own.

What the commands do is the node's business.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.connections import make_broker
from celeriac.control.mailbox import Mailbox
from celeriac.exceptions import CeleryError, OperationalError, SerializationError, SessionLost
from celeriac.message import Destination, Publication

if TYPE_CHECKING:
    import logging

    from celeriac.app.base import Celery
    from celeriac.broker.base import BrokerSession
    from celeriac.control.mailbox import Request
    from celeriac.message import Message

__all__ = ["NO_REPLY", "NodeMailbox"]

#: Leases of this session are so many times as long as others: it holds nothing that anybody waits for, and an idle
#: worker is to be quiet.
_LEASES = 4
#: Messages taken at once.
_BATCH = 100
#: Seconds between attempts to connect: it doubles up to the last.
_FIRST_RETRY, _LAST_RETRY = 0.5, 10.0

#: What a command returns that is not to be answered.
NO_REPLY: Final = object()


class NodeMailbox:
    """Hears and answers.  A node says in `answer` what it answers.

    Args:
        app: The application.
        hostname: Name of the node.
        logger: Where it tells what goes wrong.
    """

    def __init__(self, app: Celery, hostname: str, logger: logging.Logger) -> None:
        self._app = app
        self._hostname = hostname
        self._logger = logger
        self._mailbox = Mailbox(app)
        self._queue = self._mailbox.node_queue(hostname)
        lease = app.conf.broker_lease * _LEASES
        self._broker = make_broker(app.conf, app.conf.broker_read_url, app.name, lease=lease)
        self._heartbeat = lease / 3
        self._session: BrokerSession | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mailbox", daemon=True)

    # -- what a node says -----------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Any:
        """Carry out a command that is meant for this node; returns the answer, or `NO_REPLY`.  Never raises."""
        raise NotImplementedError

    def tried(self) -> None:
        """Called after each attempt to hear."""

    # -- called by the node -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Hear no more; `join` waits for the end."""
        self._stopping.set()
        session = self._session
        if session is not None:
            session.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause, failures = _FIRST_RETRY, 0
        while not self._stopping.is_set():
            try:
                session = self._open()
            except CeleryError as exc:
                failures += 1
                # What keeps the whole node from its broker is said by those who fetch tasks, and may end it.
                if failures == 2 and not self._stopping.is_set():
                    self._logger.warning("Remote control does not hear anything yet: %s", exc)
                self.tried()
                self._stopping.wait(pause * random.uniform(0.7, 1.0))
                pause = min(pause * 2, _LAST_RETRY)
                continue
            pause, failures = _FIRST_RETRY, 0
            self.tried()
            try:
                self._serve(session)
            except OperationalError as exc:
                self._logger.info("Remote control lost its connection and opens another one: %s", exc)
            except Exception:
                self._logger.exception("Remote control failed; it begins anew")
                self._stopping.wait(_FIRST_RETRY)
            finally:
                self._session = None
                session.close()

    def _open(self) -> BrokerSession:
        session = self._broker.connect()
        try:
            # What an earlier worker of this name did not hear any more was not said to this one.
            session.purge(self._queue.name)
            session.consume([self._queue])
        except BaseException:
            session.close()
            raise
        self._session = session
        return session

    def _serve(self, session: BrokerSession) -> None:
        beat = time.monotonic() + self._heartbeat
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= beat:
                session.heartbeat()
                beat = now + self._heartbeat
            deliveries = session.fetch(limit=_BATCH, wait=beat - now)
            # Before they are carried out: a command that ends this process must not come to the next one.
            session.ack_many(deliveries)
            session.flush()
            for delivery in deliveries:
                self._hear(session, delivery.message)

    def _hear(self, session: BrokerSession, message: Message) -> None:
        try:
            request = self._mailbox.read_request(message)
            meant = request.is_for(self._hostname)
        except (SerializationError, ValueError) as exc:
            self._logger.error("A control message is ignored: %s", exc)
            return
        if not meant or request.is_late():
            return
        answer = self.answer(request)
        if answer is NO_REPLY or request.reply_to is None:
            return
        try:
            self._reply(session, request, answer)
        except SessionLost:
            raise
        except OperationalError as exc:
            # Whoever asked has left, and taken the queue with it.
            self._logger.debug("The answer to %s could not be sent: %s", request.method, exc)

    def _reply(self, session: BrokerSession, request: Request, answer: Any) -> None:
        try:
            message = self._mailbox.reply(request, self._hostname, answer)
        except SerializationError as exc:
            message = self._mailbox.reply(request, self._hostname, {"error": repr(exc)})
        destination = Destination(self._mailbox.reply_exchange.name, request.reply_to or "")
        session.publish_many([Publication(message, destination)])
