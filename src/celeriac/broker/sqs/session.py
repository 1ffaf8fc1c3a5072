"""One session with SQS: publishing, taking, settling.

Its lease is the visibility timeout of what it holds, which `SQSSession.heartbeat` extends.  There is no connection that
could break: a request that fails is tried again, and the session is lost when a lease could not be extended in time.

The service counts deliveries itself.  To forget one, or to delay a message that was taken, a copy is sent and the
original deleted then; in a queue with order, whose messages have to stay where they are, the delivery counts.
"""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from celeriac.broker.base import next_session_id
from celeriac.broker.bindings import BindingRow, binding_rows, check_queue, check_sizes, route
from celeriac.broker.envelope import TagSource, encode_envelope
from celeriac.broker.sqs import dead_letters
from celeriac.broker.sqs.holding import Held, as_delivery, copy_of, encoded, outgoing
from celeriac.broker.sqs.names import is_fifo
from celeriac.broker.sqs.service import Outgoing, batches
from celeriac.broker.sqs.settling import Settling
from celeriac.broker.sqs.taking import Taking
from celeriac.drivers.aws import translated
from celeriac.exceptions import ImproperlyConfigured, OperationalError, PublishTimeout, SessionClosed, SessionLost

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from celeriac.broker.sqs.service import Service
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Message, Publication

#: Bindings by exchange: the service has none, so that each process knows those that it has declared itself.
Bindings = dict[str, dict[BindingRow, None]]

NO_FANOUT = (
    "the SQS broker cannot send one message to many workers, as remote control, revoking and events need; use Redis, "
    "RabbitMQ or a database where they are needed"
)


class SQSSession:
    """A session.

    Args:
        service: The service.
        bindings: Shared by the sessions of one broker in this process.
    """

    def __init__(self, service: Service, bindings: Bindings) -> None:
        self.session_id = next_session_id()
        self._service = service
        self._bindings = bindings
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._settling = Settling(service)
        self._taking = Taking(service, lambda: self._bell.put(False), self._release)
        self._held: dict[int, Held] = {}
        self._tags = 0
        self._envelope_tags = TagSource()
        # By identity, because comparing queues costs more than declaring them: the value keeps the identity taken.
        self._declared: dict[int, Queue] = {}
        self._asked = False
        self._closed = False

    # --- publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        for queue in queues:
            if id(queue) not in self._declared:
                if queue.name and not queue.no_declare:
                    check_queue(queue, "SQS")
                    for row in binding_rows(queue):
                        self._bindings.setdefault(row.exchange, {})[row] = None
                    with translated(self._service.url):
                        self._service.queue(queue.name)
                self._declared[id(queue)] = queue

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        options = self._service.options
        check_sizes(items, options.max_body_size)
        if items:
            deadline = time.monotonic() + (options.publish_timeout if timeout is None else timeout)
            if not self._settling.run(lambda: self._publish(items, deadline), deadline):
                raise PublishTimeout(f"{self._service.url} did not take all messages in time")

    def _publish(self, items: Sequence[Publication], deadline: float) -> None:
        self.declare([item.destination.queue for item in items if item.destination.queue is not None])
        by_queue: dict[str, list[Outgoing]] = {}
        for item in items:
            for name in route(item, lambda exchange: self._bindings.get(exchange, ()), "SQS"):
                by_queue.setdefault(name, []).append(self._outgoing(name, item))
        for name, messages in by_queue.items():
            for page in batches(messages):
                if time.monotonic() > deadline:
                    raise PublishTimeout(f"{self._service.url}: no time was left to publish all messages")
                with translated(self._service.url):
                    refused = self._service.send(name, messages[page])
                if refused:
                    raise OperationalError(
                        f"{self._service.url} refused {len(refused)} of {len(messages)} messages to queue {name!r}: "
                        f"{next(iter(refused.values()))}"
                    )

    def _outgoing(self, name: str, item: Publication) -> Outgoing:
        message, destination = item.message, item.destination
        tag = self._envelope_tags.next()
        envelope = encode_envelope(message, destination.exchange, destination.routing_key, tag)
        body = encoded(envelope, base64=self._service.options.base64)
        return outgoing(name, body, message.properties, item.not_before)

    # --- consuming

    def consume(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self.declare(queues)
        self._release(self._taking.replace([queue.name for queue in queues]))

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        deadline, woken = time.monotonic() + wait, False
        self._asked = True
        self._settling.begin()
        while True:
            woken = self._drain_bell() or woken
            self._check_leases()
            found = [self._hand_out(held) for held in self._taking.take(limit)]
            remaining = deadline - time.monotonic()
            if found or woken or (remaining <= 0 and wait > 0):
                return found
            self._taking.want(limit)
            if remaining <= 0:
                return found
            try:
                woken = self._bell.get(timeout=remaining)
            except Empty:
                continue

    def _drain_bell(self) -> bool:
        woken = False
        while True:
            try:
                woken = self._bell.get_nowait() or woken
            except Empty:
                return woken

    def _hand_out(self, held: Held) -> Delivery:
        self._tags += 1
        self._held[self._tags] = held
        return as_delivery(held, self._tags, self.session_id)

    def _check_leases(self) -> None:
        """Notice that what is held belongs to others by now; or that nothing is held, and nothing can be had.

        Raises:
            SessionLost: So it is.
        """
        now = time.monotonic()
        if any(held.until <= now for held in self._held.values()):
            self._held.clear()
            raise SessionLost(f"{self._service.url}: messages were held for longer than their lease; others have them")
        trouble = self._taking.trouble
        if trouble is not None and not self._held:
            raise SessionLost(f"no messages can be taken: {trouble}") from trouble

    # --- settling

    def _mine(self, deliveries: Iterable[Delivery]) -> list[Held]:
        """Take deliveries from those held; those of others, and those that have lapsed, are left out."""
        now, found = time.monotonic(), []
        for delivery in deliveries:
            if self._is_mine(delivery):
                held = self._held.get(delivery.tag)
                if held is not None and held.until > now:
                    found.append(self._held.pop(delivery.tag))
        return found

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        self._check_open()
        if not confirm:
            self._settling.acknowledge(self._mine(deliveries))
            return
        now = time.monotonic()
        if any(d.tag in self._held and self._held[d.tag].until <= now for d in deliveries if self._is_mine(d)):
            raise SessionLost("messages to be acknowledged are not held by this session any more; others may run them")
        try:
            kept = self._settling.delete_all(self._mine(deliveries))
        except OperationalError as error:
            raise SessionLost(f"an acknowledgement was not confirmed: {error}") from error
        if kept:
            raise SessionLost(f"{self._service.url} did not confirm the acknowledgement of {len(kept)} messages")

    def _is_mine(self, delivery: Delivery) -> bool:
        return delivery.session_id == self.session_id

    def flush(self) -> None:
        self._check_open()
        self._settling.flush(self._deadline())

    def _deadline(self) -> float:
        return time.monotonic() + self._service.options.timeout

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self._check_open()
        mine = self._mine(deliveries)
        with translated(self._service.url):
            redriven = {name: self._service.is_redriving(name) for name in {held.queue for held in mine}}
        self._settling.show([held for held in mine if redriven[held.queue]])
        self._settling.delete_all([held for held in mine if not redriven[held.queue]])

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        self._check_open()
        mine = self._mine(deliveries)
        if charge:
            self._settling.show(mine)
        else:
            self._release(mine)

    def _release(self, items: Sequence[Held]) -> None:
        """Put back, uncharged; in queues with order, charged. Called by any thread."""
        self._settling.show([held for held in items if is_fifo(held.queue)])
        self._settling.move(
            [
                (held, held.queue, copy_of(held, deliveries=held.deliveries - 1))
                for held in items
                if not is_fifo(held.queue)
            ]
        )

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        self._check_open()
        moves = []
        for delivery, not_before in items:
            for held in self._mine([delivery]):
                copy = copy_of(held, deliveries=held.deliveries - 1, not_before=not_before)
                if is_fifo(held.queue):
                    copy = copy._replace(group=held.group, deduplication=f"{self._envelope_tags.next()}", delay=0)
                moves.append((held, held.queue, copy))
        self._settling.move(moves)

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        self._check_open()
        mine = [
            (held, dead_letters.QUEUE, dead_letters.entry(held, delivery, reason))
            for delivery, reason in items
            for held in self._mine([delivery])
        ]
        if mine:
            self._declare_dead_queue()
            self._settling.move(mine)

    def _declare_dead_queue(self) -> None:
        with translated(self._service.url):
            self._service.queue(dead_letters.QUEUE, **dead_letters.RETENTION)

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        with translated(self._service.url):
            return dead_letters.newest(self._service, limit)

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        with translated(self._service.url):
            return dead_letters.remove(self._service, ids)

    # --- the rest

    def heartbeat(self) -> None:
        self._check_open()
        self._check_leases()
        if not self._asked:
            self._release(self._taking.give_back())
        self._asked = False
        self._settling.begin()
        try:
            self._settling.extend([*self._held.values(), *self._taking.arrived()])
        except OperationalError:
            # There will be another one before the lease is over; if not, `_check_leases` says so.
            pass
        self._check_leases()

    def purge(self, queue: str) -> int:
        self._check_open()
        with translated(self._service.url):
            found = sum(self._service.counts(queue))
            if found:
                self._service.purge(queue)
        return found

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        with translated(self._service.url):
            return {name: self._service.counts(name)[0] for name in queues}

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        """Not possible.

        Raises:
            ImproperlyConfigured: Always.
        """
        raise ImproperlyConfigured(NO_FANOUT)

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        """Not possible.

        Raises:
            ImproperlyConfigured: Always.
        """
        raise ImproperlyConfigured(NO_FANOUT)

    def notices(self, topic: str) -> list[str]:
        """None: there is nobody who could have kept any."""
        self._check_open()
        return []

    def wake(self) -> None:
        self._bell.put(True)

    def close(self) -> None:
        if self._closed:
            return
        left = [*self._taking.replace([]), *self._mine_all()]
        try:
            self._release(left)
            self._settling.flush(self._deadline())
        except OperationalError:
            # The service shows to others what it hears nothing of, when the lease is over.
            pass
        self._closed = True
        self._settling.close()

    def _mine_all(self) -> list[Held]:
        now, held = time.monotonic(), list(self._held.values())
        self._held.clear()
        return [each for each in held if each.until > now]

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session is closed")
