"""One session with a transport of kombu: publishing, taking, settling.

A lease is what kombu and the service make of it: where the service has none, what was taken is in this process's memory
alone.  A session whose connection breaks gives what it held to its broker, whose next session puts it back.
"""

from __future__ import annotations

import heapq
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from celeriac.broker.base import next_session_id
from celeriac.broker.bindings import check_sizes
from celeriac.broker.kombu import dead_letters
from celeriac.broker.kombu.held import Held, Payload, as_delivery, copy_of, new_payload
from celeriac.exceptions import (
    ImproperlyConfigured,
    OperationalError,
    PublishTimeout,
    SessionClosed,
    SessionLost,
    Unroutable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from concurrent.futures import Future

    from celeriac.broker.base import BrokerOptions
    from celeriac.broker.kombu.errands import Errands
    from celeriac.broker.kombu.link import Link
    from celeriac.broker.topology import Exchange, Queue
    from celeriac.message import DeadLetter, Delivery, Message, Publication

R = TypeVar("R")

#: Seconds between two looks at queues that were empty: they double up to the last, or to ``polling_interval``.
_FIRST_PAUSE, _LAST_PAUSE = 0.01, 0.2
#: Seconds that a look may take when nobody wants to wait.
_LOOK: Final = 0.25
#: Seconds after which a message that is not due goes back to a service that would show it to others.
_PARKED: Final = 20.0
#: Seconds that one message may take to be put back, beside the deadline of all.
_EACH: Final = 0.1


class SessionContext(NamedTuple):
    """What a session is told by its broker.

    Attributes:
        url: The URL, masked.
        options: Settings.
        leased: The service shows to others what was taken, after a time.
        adopt: Takes messages that the next session has to put back.
    """

    url: str
    options: BrokerOptions
    leased: bool
    adopt: Callable[[list[Payload]], None]


class KombuSession:
    """A session.

    Args:
        link: The connection, open.
        errands: The thread it belongs to.
        context: What the broker tells.
    """

    def __init__(self, link: Link, errands: Errands, context: SessionContext) -> None:
        self.session_id = next_session_id()
        self._link = link
        self._errands = errands
        self._context = context
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._tags = 0
        self._held: dict[int, Held] = {}
        #: Taken and not handed out: what came when nobody waited any more, and what is not due, by time.
        self._arrived: list[Held] = []
        self._parked: list[tuple[float, int, Held]] = []
        self._look: Future[list[Held]] | None = None
        self._pause = _FIRST_PAUSE
        interval = context.options.transport_options.get("polling_interval")
        self._last_pause = _LAST_PAUSE if interval is None else float(interval)
        self._asked = False
        self._broken: BaseException | None = None
        self._closed = False

    # --- publishing

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        if queues:
            self._call(lambda: self._declare(queues))

    def _declare(self, queues: Iterable[Queue]) -> None:
        for queue in queues:
            self._link.declare(queue)

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        options = self._context.options
        check_sizes(items, options.max_body_size)
        if not items:
            return
        try:
            self._call(
                lambda: self._publish(items), options.publish_timeout if timeout is None else timeout, publishing=True
            )
        except TimeoutError as error:
            raise PublishTimeout(f"{self._context.url} did not take all messages in time") from error

    def _publish(self, items: Sequence[Publication]) -> None:
        for item in items:
            queue = item.destination.queue
            if queue is not None:
                self._link.declare(queue)
                if not queue.name and queue.exchange is not None:
                    self._link.declare_exchange(queue.exchange.name, str(queue.exchange.type))
        unroutable: Unroutable | None = None
        for item in items:
            try:
                self._link.publish(new_payload(item), mandatory=item.mandatory)
            except Unroutable as error:
                unroutable = error
        if unroutable is not None:
            raise unroutable

    # --- consuming

    def consume(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        self._end_look()
        names = {queue.name for queue in queues}

        def consume() -> None:
            self._declare(queues)
            self._link.consume(queues)

        self._call(consume)
        left = [held for held in self._waiting() if held.queue not in names]
        self._forget(left)
        self._move([(held, copy_of(held, charge=False)) for held in left])

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        deadline, idle_until, woken, looked = time.monotonic() + wait, 0.0, False, False
        self._asked = True
        while True:
            woken = self._ring_out() or woken
            brought = self._collect()
            self._check_lost()
            self._promote()
            found, now = self._hand_out(limit), time.monotonic()
            if brought is not None:
                looked, idle_until = True, 0.0 if brought else now + self._next_pause()
            if found or woken or (now >= deadline and (looked or now >= deadline + _LOOK)):
                self._pause = _FIRST_PAUSE if found else self._pause
                return found
            if self._look is None and now >= idle_until:
                self._begin_look(limit)
            until = min(deadline if looked else deadline + _LOOK, self._next_due())
            if self._look is None:
                until = min(until, idle_until)
            woken = self._listen(until - now)

    def _next_pause(self) -> float:
        pause, self._pause = self._pause, min(2 * self._pause, self._last_pause)
        return min(pause, self._last_pause)

    def _listen(self, seconds: float) -> bool:
        try:
            return self._bell.get(timeout=max(seconds, 0.001))
        except Empty:
            return False

    def _ring_out(self) -> bool:
        woken = False
        while True:
            try:
                woken = self._bell.get_nowait() or woken
            except Empty:
                return woken

    def _begin_look(self, limit: int) -> None:
        look = self._look = self._errands.post(lambda: self._link.take(limit))
        look.add_done_callback(self._looked)

    def _looked(self, look: Future[list[Held]]) -> None:
        """Called by the thread: what it brings when nobody is there any more is for the next session."""
        self._bell.put(False)
        if self._closed and look is self._look and look.exception() is None:
            self._orphan(look.result())

    def _collect(self) -> bool | None:
        """Take in what a look has brought; None when none has ended, else whether it brought anything."""
        look = self._look
        if look is None or not look.done():
            return None
        self._look = None
        error = look.exception()
        if error is not None:
            self._lose(error)
            return False
        brought = look.result()
        now, lapsed = time.time(), []
        for held in brought:
            gone = held.lapses_at(self._link.message_ttl(held.queue))
            if gone is not None and gone <= now:
                lapsed.append(held)
            elif held.not_before > now:
                self._park(held, held.not_before)
            else:
                self._arrived.append(held)
        self._settle(lapsed)
        return bool(brought)

    def _end_look(self) -> None:
        """Wait for a look that has begun."""
        if self._look is not None:
            self._look_patiently(self._look)
            self._collect()

    def _look_patiently(self, look: Future[list[Held]]) -> None:
        try:
            look.exception(self._context.options.publish_timeout)
        except TimeoutError as error:
            self._lose(error)

    def _park(self, held: Held, not_before: float) -> None:
        self._tags += 1
        heapq.heappush(self._parked, (not_before, self._tags, held))

    def _promote(self) -> None:
        now = time.time()
        while self._parked and self._parked[0][0] <= now:
            self._arrived.append(heapq.heappop(self._parked)[2])

    def _next_due(self) -> float:
        """Monotonic time at which something parked is due."""
        return time.monotonic() + (self._parked[0][0] - time.time() if self._parked else 3600.0)

    def _hand_out(self, limit: int) -> list[Delivery]:
        taken, self._arrived = self._arrived[:limit], self._arrived[limit:]
        found = []
        for held in taken:
            self._tags += 1
            self._held[self._tags] = held
            found.append(as_delivery(held, self._tags, self.session_id))
        return found

    def _waiting(self) -> list[Held]:
        """What was taken and not handed out."""
        return [*self._arrived, *(held for _, _, held in self._parked)]

    def _forget(self, items: Collection[Held]) -> None:
        """Leave some of what was taken and not handed out."""
        gone = {id(held) for held in items}
        self._arrived = [held for held in self._arrived if id(held) not in gone]
        self._parked = [each for each in self._parked if id(each[2]) not in gone]
        heapq.heapify(self._parked)

    # --- settling

    def _mine(self, deliveries: Iterable[Delivery]) -> list[Held]:
        """Take deliveries from those held; those of others are left out."""
        mine = (self._held.pop(each.tag, None) for each in deliveries if each.session_id == self.session_id)
        return [held for held in mine if held is not None]

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        self._check_open()
        if confirm:
            self._check_lost()
        mine = self._mine(deliveries)
        self._settle(mine)
        if confirm and mine:
            self._call(lambda: None)
            self._check_lost()

    def _settle(self, items: list[Held]) -> None:
        """Acknowledge with the next errand."""
        if items and self._broken is None:
            self._errands.post(lambda: self._link.ack(items)).add_done_callback(self._settled)

    def _settled(self, done: Future[None]) -> None:
        error = done.exception()
        if error is not None and self._broken is None:
            # The thread of the session adopts what it holds, when it notices.
            self._broken = error

    def flush(self) -> None:
        self._check_open()
        self._call(lambda: None)

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self.ack_many(deliveries)

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        self._check_open()
        self._move([(held, copy_of(held, charge=charge)) for held in self._mine(deliveries)])

    def _move(self, items: list[tuple[Held, Payload]]) -> None:
        if items:
            # Until it is done they are held: a session that breaks meanwhile gives them to the next one.
            self._arrived += [held for held, _ in items]
            self._call(lambda: self._link.move(items), self._context.options.publish_timeout + _EACH * len(items))
            self._forget([held for held, _ in items])

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        self._check_open()
        for delivery, not_before in items:
            for held in self._mine([delivery]):
                held.marks["not_before"] = not_before
                self._park(held, not_before)

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        self._check_open()
        self._move(
            [(held, dead_letters.entry(held, reason)) for delivery, reason in items for held in self._mine([delivery])]
        )

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        self._check_open()
        return self._call(lambda: dead_letters.newest(self._link, limit))

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        self._check_open()
        return self._call(lambda: dead_letters.remove(self._link, ids))

    def count_dead_letters(self) -> int:
        self._check_open()
        return self._call(lambda: self._link.depth(dead_letters.QUEUE))

    # --- the rest

    def heartbeat(self) -> None:
        self._check_open()
        self._collect()
        self._check_lost()
        back = [] if self._asked else [(held, copy_of(held, charge=False)) for held in self._arrived]
        self._asked = False
        if self._context.leased:
            limit = time.monotonic() - _PARKED
            back += [
                (held, copy_of(held, charge=False, not_before=due))
                for due, _, held in self._parked
                if held.taken_at < limit
            ]
        self._forget([held for held, _ in back])
        self._move(back)

    def purge(self, queue: str) -> int:
        self._check_open()
        self._end_look()
        waiting = [held for held in self._waiting() if held.queue == queue]
        self._forget(waiting)
        self._settle(waiting)
        return len(waiting) + self._call(lambda: self._link.purge(queue))

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self._check_open()
        found = self._call(lambda: {name: self._link.depth(name) for name in queues})
        for held in self._arrived:
            if held.queue in found:
                found[held.queue] += 1
        return found

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        """Publish to a fanout exchange; nobody counts who gets it.

        Raises:
            ImproperlyConfigured: The transport has no fanout.
        """
        self._check_open()

        def broadcast() -> None:
            self._link.declare_exchange(exchange.name, str(exchange.type))
            self._link.publish(Payload(message, exchange.name, "", {"sent": time.time()}))

        self._call(broadcast)
        return None

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        """Not possible.

        Raises:
            OperationalError: Always.
        """
        raise OperationalError(f"{self._context.url}: kombu's transports keep no notices for workers that come later")

    def notices(self, topic: str) -> list[str]:
        """None: there is nobody who could have kept any."""
        self._check_open()
        return []

    def wake(self) -> None:
        self._bell.put(True)

    def close(self) -> None:
        if self._closed:
            return
        self._end_look()
        back = [(held, copy_of(held, charge=False)) for held in [*self._held.values(), *self._waiting()]]
        if self._broken is None:
            try:
                self._call(lambda: self._link.move(back), self._context.options.publish_timeout + _EACH * len(back))
                self._held.clear()
                self._forget(self._waiting())
                self._call(lambda: self._link.close(lost=False))
            except OperationalError:
                # `_lose` has seen to what was held.
                pass
        if self._broken is not None:
            self._lose(self._broken)
            self._errands.post(lambda: self._link.close(lost=True))
        self._closed = True
        self._errands.stop()

    # --- failing

    def _call(self, work: Callable[[], R], timeout: float | None = None, *, publishing: bool = False) -> R:
        """Have something done, and wait for it.

        Raises:
            SessionLost: It failed, and the session with it.
            OperationalError: A message was not taken.
            TimeoutError: When publishing, it took too long.
        """
        self._check_lost()
        seconds = self._context.options.publish_timeout if timeout is None else timeout
        future = self._errands.post(work)
        try:
            return future.result(seconds)
        except (ImproperlyConfigured, OperationalError):
            raise
        except Exception as error:
            if publishing and not future.done():
                self._lose(error)
                raise TimeoutError from error
            if publishing and isinstance(error, TypeError | ValueError):
                # A header or property is no JSON.
                raise
            self._lose(error)
            raise SessionLost(f"{self._context.url}: {str(error) or type(error).__name__}") from error

    def _lose(self, error: BaseException) -> None:
        """The connection is of no use any more: what is held is for the next session."""
        self._broken = self._broken or error
        held = [*self._held.values(), *self._waiting()]
        self._held.clear()
        self._arrived, self._parked = [], []
        self._orphan(held)

    def _orphan(self, items: Iterable[Held]) -> None:
        # A service that leases shows them to others itself.
        if not self._context.leased:
            due = [(held, held.not_before) for held in items if held.kombu_tag is not None]
            self._context.adopt([copy_of(held, charge=True, not_before=not_before) for held, not_before in due])

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session is closed")

    def _check_lost(self) -> None:
        if self._broken is not None:
            error = self._broken
            self._lose(error)
            raise SessionLost(f"{self._context.url}: {str(error) or type(error).__name__}") from error
