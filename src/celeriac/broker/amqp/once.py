"""Messages that RabbitMQ takes once: it compares nothing, but it gives a message to one connection only.

For each scope there is a queue with one message, the *baton*: the newest token, and which messages were taken last.
Whoever publishes holds the baton, and passes it on in one transaction with the message.  So nobody publishes between
another's look at the baton and that one's commit; who dies before the commit has published nothing, and the server puts
the baton back as soon as the connection is gone.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from celeriac.broker.amqp.envelope import PERSISTENT
from celeriac.broker.amqp.publishing import refusal_error
from celeriac.broker.once import check_superseded
from celeriac.drivers.amqp import ChannelClosed, Refusal
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from celeriac.broker.amqp.publishing import Publishing
    from celeriac.drivers.amqp import AMQPConnection, Channel, Delivery, OutgoingMessage
    from celeriac.drivers.amqp.link import Link
    from celeriac.message import Once, Publication

__all__ = ["Baton", "OncePublisher", "queue_name"]

#: Messages that a baton remembers; of 12 bytes each.
REMEMBERED: Final = 512
_TOKEN_SIZE, _DIGEST_SIZE = 8, 12
#: A scope that nobody has used for 30 days is forgotten.
_EXPIRES: Final = {"x-expires": 30 * 86400 * 1000}
#: Seconds after which the server is reminded that a scope is in use, and for which a baton held by another is awaited.
_REMIND, _WAIT, _PAUSE = 3600.0, 0.5, 0.02
_NOT_FOUND, _RESOURCE_LOCKED = 404, 405


def queue_name(scope: str) -> str:
    """The queue of a scope's baton."""
    digest = hashlib.blake2b(scope.encode(), digest_size=8).hexdigest()
    return f"celeriac.once.{scope[:40]}.{digest}"


class Baton(NamedTuple):
    """What a scope's message says.

    Attributes:
        token: The newest.
        taken: Which messages were taken last, the newest first: digests without anything between them.
    """

    token: int
    taken: bytes

    @classmethod
    def load(cls, body: bytes) -> Baton:
        """Read the body."""
        return cls(int.from_bytes(body[:_TOKEN_SIZE], "big"), body[_TOKEN_SIZE:])

    def dump(self) -> bytes:
        """Write the body."""
        return self.token.to_bytes(_TOKEN_SIZE, "big") + self.taken

    def has(self, once: Once) -> bool:
        """Whether a message was taken."""
        found, size = _digest(once), _DIGEST_SIZE
        return any(self.taken[at : at + size] == found for at in range(0, len(self.taken), size))

    def after(self, once: Once) -> Baton:
        """The baton when a message is taken."""
        return Baton(once.token, (_digest(once) + self.taken)[: REMEMBERED * _DIGEST_SIZE])


def _digest(once: Once) -> bytes:
    return hashlib.blake2b(f"{once.series}\0{once.place}".encode(), digest_size=_DIGEST_SIZE).digest()


class OncePublisher:
    """Publishes with batons, over a session's connection.

    Args:
        link: The connection.
        publishing: Makes messages, and knows what is declared.
    """

    def __init__(self, link: Link, publishing: Publishing) -> None:
        self._link = link
        self._publishing = publishing
        self._channel: Channel | None = None
        self._connection: AMQPConnection | None = None
        #: When the server was reminded of a scope last.
        self._reminded: dict[str, float] = {}

    def publish(self, item: Publication, once: Once, deadline: float, *, may_reopen: bool) -> None:
        """Publish one message, unless it was taken before.

        Raises:
            Superseded: It bears an old token.
            OperationalError: Another holds the baton, or the server cannot take the message.
        """
        done = False
        try:
            with self._publishing.translated():
                self._publishing.reopen_if_lost(deadline, may_reopen=may_reopen)
                # Before the baton is taken: what is slow or fails here keeps nobody waiting.
                message = self._publishing.outgoing(item, deadline)
                self._pass_on(once, message, queue_name(once.scope), deadline)
            done = True
        finally:
            if not done:
                self._let_go()

    def _pass_on(self, once: Once, message: OutgoingMessage, queue: str, deadline: float) -> None:
        channel = self._usable(queue, deadline)
        held = self._take(channel, queue, deadline)
        baton = Baton.load(held.body)
        if baton.has(once):
            self._put_back(channel, held, deadline)
            return
        check_superseded(once, baton.token)
        after = baton.after(once)
        self._commit(channel, held, [message, _message(queue, after)], deadline)
        if channel.returned:
            self._take_back(channel, queue, baton, after, deadline)

    def _commit(self, channel: Channel, held: Delivery, messages: list[OutgoingMessage], deadline: float) -> None:
        channel.returned.clear()
        channel.publish_many(messages, deadline)
        channel.ack_many([held.delivery_tag], deadline=deadline)
        channel.tx_commit(deadline=deadline)

    def _put_back(self, channel: Channel, held: Delivery, deadline: float) -> None:
        channel.nack_many([held.delivery_tag], deadline=deadline)
        channel.tx_commit(deadline=deadline)

    def _take_back(self, channel: Channel, queue: str, before: Baton, after: Baton, deadline: float) -> None:
        """The message had nowhere to go, which the server says only with the commit: it was not taken after all."""
        back = channel.returned.popleft()
        held = self._take(channel, queue, deadline)
        if held.body == after.dump():
            self._commit(channel, held, [_message(queue, before._replace(token=after.token))], deadline)
        self._publishing.forget()
        code, text = back.reply or (0, "")
        raise refusal_error(Refusal(0, back.exchange, back.routing_key, code, text), 1)

    # --- the channel and the baton

    def _usable(self, queue: str, deadline: float) -> Channel:
        """The channel for transactions, when there is a baton."""
        if self._connection is not self._link.connection:
            self._channel, self._connection = None, self._link.connection
            self._reminded.clear()
        now = time.monotonic()
        if now - self._reminded.get(queue, -_REMIND) >= _REMIND:
            self._ensure(queue, deadline)
            self._reminded[queue] = now
        if self._channel is None or self._channel.error is not None:
            self._channel = self._link.connection.channel(deadline)
            self._channel.tx_select(deadline=deadline)
        return self._channel

    def _take(self, channel: Channel, queue: str, deadline: float) -> Delivery:
        """Hold the baton."""
        until = min(deadline, time.monotonic() + _WAIT)
        while True:
            held = channel.basic_get(queue, deadline=deadline)
            if held is not None:
                return held
            if time.monotonic() >= until:
                raise OperationalError(
                    f"the message in {queue!r}, without which nothing is published once, is held by another; RabbitMQ "
                    "gives it back when that one's connection ends, or is silent for two heartbeats. If it was purged, "
                    f"delete the queues {queue!r} and {_mark(queue)!r}"
                )
            time.sleep(_PAUSE)

    def _let_go(self) -> None:
        """After a failure: whatever is held goes back."""
        channel, self._channel = self._channel, None
        self._reminded.clear()
        if channel is not None and channel.error is None:
            try:
                channel.close(self._link.deadline())
            except Exception:
                # Nobody knows what the server has read: with the connection, it gives everything back.
                self._link.connection.abort()

    # --- the first time

    def _ensure(self, queue: str, deadline: float) -> None:
        """Make a baton, where there is none; all others wait while somebody does."""
        if self._is_there(queue, deadline) and self._is_there(_mark(queue), deadline):
            return
        lock = f"{queue}.lock"
        try:
            self._link.control(deadline).queue_declare(lock, exclusive=True, durable=False, deadline=deadline)
        except ChannelClosed as error:
            if error.reply_code == _RESOURCE_LOCKED:
                raise OperationalError(f"another is about to make the queue {queue!r}") from error
            raise
        if not (self._is_there(queue, deadline) and self._is_there(_mark(queue), deadline)):
            control = self._link.control(deadline)
            # Without the mark, whoever made the queue has not finished, and nobody has published with it.
            control.queue_delete(_mark(queue), deadline=deadline)
            control.queue_declare(queue, arguments=_EXPIRES, deadline=deadline)
            control.queue_purge(queue, deadline=deadline)
            self._link.publish(([_message(queue, Baton(0, b""))],), deadline, confirm=True)
            control.queue_declare(_mark(queue), arguments=_EXPIRES, deadline=deadline)
        self._link.control(deadline).queue_delete(lock, deadline=deadline)

    def _is_there(self, queue: str, deadline: float) -> bool:
        """Whether there is a queue; asking for its messages tells the server that it is in use."""
        channel = self._link.connection.channel(deadline)
        try:
            # Of a mark there are none; a baton goes back with the channel.
            channel.basic_get(queue, deadline=deadline)
        except ChannelClosed as error:
            if error.reply_code == _NOT_FOUND:
                return False
            raise
        channel.close(deadline)
        return True


def _mark(queue: str) -> str:
    """The queue that says that another has its baton."""
    return f"{queue}.made"


def _message(queue: str, baton: Baton) -> OutgoingMessage:
    return ("", queue, baton.dump(), {"delivery_mode": PERSISTENT}, None, False)
