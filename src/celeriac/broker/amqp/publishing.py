"""Publishing: what was declared, what is delayed, and what to make of refusals.  It consumes nothing."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from celeriac.broker.amqp import delay
from celeriac.broker.amqp.declaring import declarations_of, refused_declaration
from celeriac.broker.amqp.envelope import has_deaths, properties_of, without_deaths
from celeriac.broker.bindings import check_sizes
from celeriac.drivers.amqp import AMQPError, ChannelClosed, Declarations, OperationTimeout
from celeriac.drivers.amqp import EncodeError as WireEncodeError
from celeriac.drivers.amqp.faults import as_operational
from celeriac.exceptions import EncodeError, OperationalError, PublishTimeout, Unroutable
from celeriac.utils.dataclass import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from celeriac.broker.topology import Queue
    from celeriac.drivers.amqp import OutgoingMessage, Refusal
    from celeriac.drivers.amqp.link import Link
    from celeriac.message import Publication

#: Messages in one write, so that the server works on some while the next are made.
PAGE = 100

_NOT_FOUND, _NO_ROUTE, _ACCESS_REFUSED = 404, 312, 403
_MISSING_EXCHANGE = re.compile(r"no exchange '(?P<name>.*?)'")


@dataclass(frozen=True)
class SessionSettings:
    """What a session is told.

    Attributes:
        publish_timeout: Seconds for one publish.
        confirm: Wait for publisher confirms.
        max_body_size: Largest body in bytes.
        delay_queue_type: ``quorum`` or ``classic``, of the queues that hold delayed messages.
    """

    publish_timeout: float
    confirm: bool
    max_body_size: int
    delay_queue_type: str


class Publishing:
    """What a session remembers about publishing.

    Args:
        link: The session's connection.
        settings: What it is told.
    """

    def __init__(self, link: Link, settings: SessionSettings) -> None:
        self._link = link
        self._settings = settings
        # By identity, because comparing queues costs more than looking: the value keeps the identity taken.
        self._declared: dict[int, Queue] = {}
        self._delay_targets: set[tuple[str, str]] = set()
        self._has_levels = False

    # --- declaring

    def declare(self, queues: Iterable[Queue], deadline: float) -> None:
        """Declare queues, each once."""
        missing = [queue for queue in queues if id(queue) not in self._declared]
        if not missing:
            return
        try:
            self._link.declare(declarations_of(missing), deadline)
        except ChannelClosed as error:
            raise refused_declaration(error, missing) from error
        except AMQPError as error:
            raise as_operational(error) from error
        for queue in missing:
            self._declared[id(queue)] = queue

    def declare_anew(self, queues: Iterable[Queue], deadline: float) -> None:
        """Declare queues that somebody deleted."""
        queues = list(queues)
        for queue in queues:
            self._declared.pop(id(queue), None)
            self._delay_targets.discard(("", queue.name))
        self.declare(queues, deadline)

    def declare_quietly(self, declarations: Declarations, deadline: float) -> None:
        """Declare what is ours and not the application's."""
        try:
            self._link.declare(declarations, deadline)
        except ChannelClosed as error:
            raise refused_declaration(error, ()) from error

    def forget(self) -> None:
        """Take nothing for declared any more."""
        self._declared.clear()
        self._forget_delays()

    def _forget_delays(self) -> None:
        self._delay_targets.clear()
        self._has_levels = False

    # --- publishing

    def publish(self, items: Sequence[Publication], deadline: float, *, may_reopen: bool) -> None:
        """Publish, and return when the server has taken responsibility.

        Args:
            items: What to publish.
            deadline: When to give up.
            may_reopen: Nothing is lost with the connection, so that another one may take its place.
        """
        with self.translated():
            self.reopen_if_lost(deadline, may_reopen=may_reopen)
            self._publish(items, deadline)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn errors of the client into those that publishing raises."""
        try:
            yield
        except AMQPError as error:
            self._raise_failure(error)
        except WireEncodeError as error:
            raise EncodeError(f"a message cannot be written in AMQP 0-9-1: {error}") from error

    def reopen_if_lost(self, deadline: float, *, may_reopen: bool) -> None:
        """Take another connection where the server gave up this one while it was not used."""
        if may_reopen and self._link.was_lost_while_idle():
            self.forget()
            self._link.reconnect(deadline)

    def _publish(self, items: Sequence[Publication], deadline: float) -> None:
        confirm = self._settings.confirm or any(item.mandatory or item.not_before is not None for item in items)
        messages: list[OutgoingMessage] = []

        def pages() -> Iterator[list[OutgoingMessage]]:
            for start in range(0, len(items), PAGE):
                page = [self.outgoing(item, deadline) for item in items[start : start + PAGE]]
                messages.extend(page)
                yield page

        refused = self._link.publish(pages(), deadline, confirm=confirm)
        if refused:
            self._publish_refused(items, messages, refused, deadline)

    def outgoing(self, item: Publication, deadline: float) -> OutgoingMessage:
        """What goes over the wire for a publication; declares what it needs."""
        message = self._immediate(item, deadline)
        if item.not_before is not None:
            seconds = delay.whole_seconds(item.not_before, time.time())
            if seconds > 0:
                return self._delayed(message, seconds, deadline)
        return message

    def _immediate(self, item: Publication, deadline: float) -> OutgoingMessage:
        message, destination = item.message, item.destination
        if len(message.body) > self._settings.max_body_size:
            check_sizes((item,), self._settings.max_body_size)
        queue = destination.queue
        if queue is not None and id(queue) not in self._declared:
            self.declare((queue,), deadline)
        # A queue that was declared has to be there: one that somebody deleted since would swallow the message.
        mandatory = item.mandatory or (queue is not None and not destination.exchange and self._settings.confirm)
        return (
            destination.exchange,
            destination.routing_key,
            message.body,
            properties_of(message),
            message.headers,
            mandatory,
        )

    def _delayed(self, message: OutgoingMessage, seconds: int, deadline: float) -> OutgoingMessage:
        exchange, routing_key, body, properties, headers, _ = message
        self.prepare_delay(exchange, routing_key, deadline)
        word = delay.forward_name(exchange, routing_key) if exchange else delay.queue_word(routing_key)
        # An expiration would end the wait early: it counts for each queue on the way.
        properties = {name: value for name, value in properties.items() if name != "expiration"}
        if headers and has_deaths(headers):
            headers = without_deaths(headers)
        return (*delay.delay_route(seconds, word), body, properties, headers, True)

    def prepare_delay(self, exchange: str, routing_key: str, deadline: float) -> None:
        """Declare the delay queues, and bind to them what delayed messages are for."""
        if (exchange, routing_key) in self._delay_targets:
            return
        if not self._has_levels:
            self.declare_quietly(delay.levels(self._settings.delay_queue_type), deadline)
            self._has_levels = True
        if exchange:
            self.declare_quietly(delay.exchange_target(exchange, routing_key), deadline)
        else:
            self.declare_quietly(delay.queue_target(routing_key), deadline)
        self._delay_targets.add((exchange, routing_key))

    def bind_delays(self, queues: Sequence[Queue], deadline: float) -> None:
        """Renew what delayed messages on their way to these queues need, where there may be any."""
        if any(queue.arguments.get("x-queue-type") == "quorum" for queue in queues):
            # Celery delays messages by itself as soon as there is a quorum queue.
            self._link.declare(delay.levels(self._settings.delay_queue_type), deadline)
        else:
            try:
                self._link.control(deadline).check_exchange(delay.DELIVERY_EXCHANGE, deadline=deadline)
            except ChannelClosed as error:
                if error.reply_code == _NOT_FOUND:
                    return
                raise
        lasting = [queue for queue in queues if not queue.exclusive and not queue.no_declare]
        self._link.declare(delay.consumer_targets(lasting), deadline)

    # --- refusals

    def _publish_refused(
        self,
        items: Sequence[Publication],
        messages: Sequence[OutgoingMessage],
        refused: Sequence[tuple[int, Refusal]],
        deadline: float,
    ) -> None:
        """Publish once more what found its queue deleted; report the rest."""
        self._forget_delays()
        gone: dict[int, Queue] = {}
        for position, refusal in refused:
            queue = items[position].destination.queue
            if refusal.reply_code != _NO_ROUTE or queue is None or queue.no_declare or not queue.name:
                raise refusal_error(refusal, len(refused))
            gone[id(queue)] = queue
        self.declare_anew(gone.values(), deadline)
        for position, _ in refused:
            destination = items[position].destination
            if items[position].not_before is not None:
                self.prepare_delay(destination.exchange, destination.routing_key, deadline)
        again = [messages[position] for position, _ in refused]
        refused = self._link.publish((again,), deadline, confirm=True)
        if refused:
            raise refusal_error(refused[0][1], len(refused))

    def _raise_failure(self, error: AMQPError) -> NoReturn:
        if isinstance(error, OperationTimeout):
            self._raise_timeout(error)
        if isinstance(error, ChannelClosed):
            # Whatever was deleted is declared again with the next attempt.
            self.forget()
            found = _MISSING_EXCHANGE.search(error.reply_text)
            if error.reply_code == _NOT_FOUND and found:
                raise OperationalError(
                    f"there is no exchange {found['name']!r}; declare a queue that is bound to it first"
                ) from error
            if error.reply_code != _ACCESS_REFUSED:
                raise OperationalError(f"publishing failed: {error}") from error
        raise as_operational(error) from error

    def _raise_timeout(self, error: OperationTimeout) -> NoReturn:
        blocked = self._link.connection.blocked
        sent = error.unconfirmed
        self._link.abandon_confirms()
        if blocked is None:
            raise PublishTimeout(f"the broker did not confirm in time: {error}") from error
        text = f"the broker is blocked and takes no messages: {blocked} (a memory or disk alarm)"
        if sent:
            raise PublishTimeout(f"{text}; it may still take {len(sent)} that were sent before") from error
        raise OperationalError(f"{text}; nothing was sent") from error


def refusal_error(refusal: Refusal, count: int) -> OperationalError:
    """What to raise for the first of some refused messages."""
    cls = Unroutable if refusal.reply_code == _NO_ROUTE else OperationalError
    return cls(refusal_text(refusal, count))


def refusal_text(refusal: Refusal, count: int) -> str:
    """What to say about the first of some refused messages."""
    more = f" (one of {count} refused messages)" if count > 1 else ""
    exchange, routing_key = refusal.exchange, refusal.routing_key
    if refusal.reply_code != _NO_ROUTE:
        return (
            f"the broker refused a message to exchange {exchange!r} with routing key {routing_key!r}{more}: "
            f"{refusal.reply_text}; the queue may be full (x-max-length)"
        )
    what = (
        f"no queue is bound to exchange {exchange!r} for routing key {routing_key!r}"
        if exchange
        else f"there is no queue {routing_key!r}"
    )
    return f"the broker returned a message that it cannot route: {what}{more}; declare the queue first"
