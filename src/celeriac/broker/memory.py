"""The in-process broker, shared by URL within a process, and the reference implementation of the port.

It keeps nothing beyond the life of the process and shows nothing to other processes.
"""

from __future__ import annotations

import heapq
import math
import time
from itertools import count
from queue import Empty, SimpleQueue
from threading import RLock
from typing import TYPE_CHECKING, Any

from celeriac.broker.base import MAX_NOTICES, BrokerCapabilities, BrokerOptions, next_session_id
from celeriac.broker.bindings import (
    UNLIMITED,
    BindingRow,
    Lifetime,
    binding_rows,
    check_queue,
    check_sizes,
    priority_of,
    route,
)
from celeriac.broker.once import is_new
from celeriac.exceptions import SessionClosed, SessionLost
from celeriac.message import DeadLetter, Delivery, Destination, Message, Once, Publication
from celeriac.utils.dataclass import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from celeriac.broker.base import BrokerSession
    from celeriac.broker.topology import Exchange, Queue

#: Newest dead letters kept; a process has no disk to keep more of them on.
DEAD_LETTER_LIMIT = 10_000


@dataclass
class _Entry:
    """A message somewhere between publication and settlement."""

    id: int
    queue: str
    message: Message
    exchange: str
    routing_key: str
    priority: int
    expires_at: float | None
    #: Deliveries that count; the one in progress is not among them.
    charged: int = 0


@dataclass
class _QueueState:
    """Two heaps: what may be taken, by priority and age; what is delayed, by due time."""

    ready: list[tuple[int, int, _Entry]] = field(default_factory=list)
    delayed: list[tuple[float, int, _Entry]] = field(default_factory=list)
    lifetime: Lifetime = UNLIMITED
    used_at: float = 0.0

    def push(self, entry: _Entry) -> None:
        heapq.heappush(self.ready, (-entry.priority, entry.id, entry))

    def promote(self, now: float) -> None:
        while self.delayed and self.delayed[0][0] <= now:
            self.push(heapq.heappop(self.delayed)[2])


@dataclass
class _Lease:
    """What one session holds, and until when."""

    until: float
    bell: SimpleQueue[bool]
    held: dict[int, _Entry] = field(default_factory=dict)
    queues: list[str] = field(default_factory=list)


class MemoryStore:
    """The messages of one URL. Every attribute is guarded by `lock`.

    Args:
        clock: Unix time in seconds; leases and delays follow it.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = RLock()
        self.ids = count(1)
        self.queues: dict[str, _QueueState] = {}
        self.bindings: dict[str, dict[BindingRow, None]] = {}
        self.leases: dict[int, _Lease] = {}
        self.dead: list[DeadLetter] = []
        #: By topic: text to the time at which it is forgotten.
        self.notices: dict[str, dict[str, float]] = {}
        #: By scope and series: token and place of the last message that is taken once.
        self.taken_last: dict[tuple[str, str], tuple[int, str]] = {}

    def queue(self, name: str) -> _QueueState:
        """The state of a queue, which comes into being by being named."""
        state = self.queues.get(name)
        if state is None:
            state = self.queues[name] = _QueueState(used_at=self.clock())
        return state

    def declare(self, queue: Queue, lifetime: Lifetime) -> None:
        if not queue.name:
            return
        state = self.queue(queue.name)
        state.lifetime, state.used_at = lifetime, self.clock()
        for row in binding_rows(queue):
            self.bindings.setdefault(row.exchange, {})[row] = None

    def add(self, publication: Publication) -> list[str]:
        """Add a message to the queues it goes to; returns their names."""
        destination, message = publication.destination, publication.message
        names = route(publication, lambda exchange: self.bindings.get(exchange, ()), "memory")
        for name in names:
            state, now = self.queue(name), self.clock()
            ttl = state.lifetime.message_ttl
            entry = _Entry(
                next(self.ids),
                name,
                message,
                destination.exchange,
                destination.routing_key,
                priority_of(message),
                None if ttl is None else now + ttl,
            )
            if publication.not_before is not None and publication.not_before > now:
                heapq.heappush(state.delayed, (publication.not_before, entry.id, entry))
            else:
                state.push(entry)
        return names

    def admits(self, once: Once) -> bool:
        """Whether a message is to be taken; notes that it was.

        Raises:
            Superseded: It bears an old token.
        """
        last = self.taken_last.get((once.scope, once.series))
        if last is not None and not is_new(once, *last):
            return False
        self.taken_last[once.scope, once.series] = once.token, once.place
        return True

    def ring(self, names: Iterable[str]) -> None:
        """Wake every session that takes from one of the queues."""
        wanted = set(names)
        for lease in self.leases.values():
            if not wanted.isdisjoint(lease.queues):
                lease.bell.put(False)

    def take(self, lease: _Lease, name: str, limit: int) -> list[_Entry]:
        """Move up to `limit` messages of a queue under a lease."""
        state, now = self.queue(name), self.clock()
        state.promote(now)
        state.used_at = now
        taken: list[_Entry] = []
        while state.ready and len(taken) < limit:
            entry = heapq.heappop(state.ready)[2]
            if entry.expires_at is None or entry.expires_at > now:
                lease.held[entry.id] = entry
                taken.append(entry)
        return taken

    def put_back(self, entry: _Entry, *, charge: bool, not_before: float | None = None) -> None:
        entry.charged += charge
        state = self.queue(entry.queue)
        if not_before is None:
            state.push(entry)
        else:
            heapq.heappush(state.delayed, (not_before, entry.id, entry))

    def end(self, session_id: int, *, charge: bool) -> None:
        """Return all that a session held, and drop the queues that lived by it."""
        lease = self.leases.pop(session_id, None)
        if lease is None:
            return
        for entry in lease.held.values():
            self.put_back(entry, charge=charge)
        for name in lease.queues:
            consumed = any(name in other.queues for other in self.leases.values())
            if not consumed and name in self.queues and self.queues[name].lifetime.transient:
                self.drop(name)
        self.ring({entry.queue for entry in lease.held.values()})

    def drop(self, name: str) -> None:
        del self.queues[name]
        for rows in self.bindings.values():
            for row in [row for row in rows if row.queue == name]:
                del rows[row]

    def sweep(self) -> None:
        """End the sessions whose lease ran out; drop queues that nobody used for their time."""
        now = self.clock()
        for session_id in [id_ for id_, lease in self.leases.items() if lease.until <= now]:
            self.end(session_id, charge=True)
        consumed = {name for lease in self.leases.values() for name in lease.queues}
        for name, state in list(self.queues.items()):
            expires = state.lifetime.expires
            if expires is not None and name not in consumed and state.used_at + expires <= now:
                self.drop(name)


_stores: dict[str, MemoryStore] = {}
_stores_lock = RLock()


def forget(url: str) -> None:
    """Let go of the messages of a URL; whoever opened it before goes on with them alone."""
    with _stores_lock:
        _stores.pop(url.rstrip("/"), None)


class MemoryBroker:
    """Messages in this process: ``memory://`` or ``memory://any-name``; equal URLs share their messages.

    A larger ``priority`` goes first; within one priority messages leave in the order they were published.  A
    queue in a fetch is served in turn, so that a long one does not starve the others.

    Args:
        url: The URL.
        options: Settings common to all drivers.
        clock: Unix time in seconds, for tests of leases and delays; it counts for whoever opens a URL first.
    """

    def __init__(
        self, url: str, options: BrokerOptions | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.url = url
        self.options = options or BrokerOptions()
        self.capabilities = BrokerCapabilities("memory", fanout=True, in_process=True, once=True)
        with _stores_lock:
            self._store = _stores.setdefault(url.rstrip("/"), MemoryStore(clock))

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> MemorySession:
        """Open a session; nothing can keep it waiting.

        Args:
            timeout: Accepted as the port demands; there is no server to wait for.
            resume: Ditto; there is no connection that could break.
        """
        return MemorySession(self._store, self.options)


class MemorySession:
    """One session of a `MemoryBroker`."""

    def __init__(self, store: MemoryStore, options: BrokerOptions) -> None:
        self.session_id = next_session_id()
        self._store = store
        self._options = options
        self._lease: _Lease | None = None
        self._lost = False
        # True from `wake`, False from news. SimpleQueue.put is reentrant, as signal handlers need it;
        # Condition.notify is not.
        self._bell: SimpleQueue[bool] = SimpleQueue()
        # By identity, because comparing queues costs more than declaring them: the value keeps the identity taken.
        self._declared: dict[int, Queue] = {}
        self._turn = 0
        self._swept_at = -math.inf
        self._closed = False

    def declare(self, queues: Sequence[Queue]) -> None:
        self._check_open()
        for queue in queues:
            if id(queue) not in self._declared and not queue.no_declare:
                lifetime = check_queue(queue, "memory")
                with self._store.lock:
                    self._store.declare(queue, lifetime)
            self._declared[id(queue)] = queue

    def publish_many(self, items: Sequence[Publication], *, timeout: float | None = None) -> None:
        self._check_open()
        check_sizes(items, self._options.max_body_size)
        for item in items:
            queue = item.destination.queue
            if queue is not None and id(queue) not in self._declared:
                self.declare([queue])
        store, reached = self._store, set[str]()
        with store.lock:
            for item in items:
                if item.once is None or store.admits(item.once):
                    reached.update(store.add(item))
            store.ring(reached)

    def consume(self, queues: Sequence[Queue]) -> None:
        self.declare(queues)
        with self._store.lock:
            self._held().queues[:] = [queue.name for queue in queues]

    def fetch(self, *, limit: int, wait: float) -> list[Delivery]:
        self._check_open()
        deadline = time.monotonic() + wait
        woken = False
        while True:
            # Rings from before this look are covered by it.
            woken = self._drain_bell() or woken
            with self._store.lock:
                deliveries = self._claim(limit)
                due = self._next_due()
            remaining = deadline - time.monotonic()
            if deliveries or woken or remaining <= 0:
                return deliveries
            try:
                woken = self._bell.get(timeout=min(remaining, due))
            except Empty:
                continue

    def ack_many(self, deliveries: Sequence[Delivery], *, confirm: bool = False) -> None:
        with self._store.lock:
            lease = self._lease
            lapsed = lease is not None and (
                lease.until <= self._store.clock() or self.session_id not in self._store.leases
            )
            self._release(deliveries)
        if confirm and lapsed and any(delivery.session_id == self.session_id for delivery in deliveries):
            raise SessionLost("messages to be acknowledged are not held by this session any more; others may run them")

    def flush(self) -> None:
        """Nothing is put off here."""

    def reject_many(self, deliveries: Sequence[Delivery]) -> None:
        self.ack_many(deliveries)

    def requeue_many(self, deliveries: Sequence[Delivery], *, charge: bool = True) -> None:
        with self._store.lock:
            entries = self._release(deliveries)
            for entry in entries:
                self._store.put_back(entry, charge=charge)
            self._store.ring({entry.queue for entry in entries})

    def defer_many(self, items: Sequence[tuple[Delivery, float]]) -> None:
        with self._store.lock:
            for delivery, not_before in items:
                for entry in self._release([delivery]):
                    self._store.put_back(entry, charge=False, not_before=not_before)
                    self._store.ring([entry.queue])

    def dead_letter_many(self, items: Sequence[tuple[Delivery, str]]) -> None:
        with self._store.lock:
            for delivery, reason in items:
                for entry in self._release([delivery]):
                    self._store.dead.append(self._dead_letter(entry, reason))
            del self._store.dead[:-DEAD_LETTER_LIMIT]

    def dead_letters(self, *, limit: int = 100) -> list[DeadLetter]:
        with self._store.lock:
            return self._store.dead[::-1][:limit]

    def remove_dead_letters(self, ids: Collection[str]) -> int:
        with self._store.lock:
            before = len(self._store.dead)
            self._store.dead[:] = [letter for letter in self._store.dead if letter.id not in ids]
            return before - len(self._store.dead)

    def heartbeat(self) -> None:
        self._check_open()
        with self._store.lock:
            self._held().until = self._store.clock() + self._options.lease
            if self._store.clock() - self._swept_at >= self._options.sweep_interval:
                self._swept_at = self._store.clock()
                self._store.sweep()

    def purge(self, queue: str) -> int:
        with self._store.lock:
            state = self._store.queue(queue)
            found = len(state.ready) + len(state.delayed)
            state.ready.clear()
            state.delayed.clear()
            return found

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        with self._store.lock:
            now, found = self._store.clock(), {}
            for name in queues:
                state = self._store.queues.get(name, _QueueState())
                state.promote(now)
                found[name] = len(state.ready)
            return found

    def count_delayed(self, queues: Sequence[str]) -> dict[str, int]:
        with self._store.lock:
            now, found = self._store.clock(), {}
            for name in queues:
                state = self._store.queues.get(name, _QueueState())
                state.promote(now)
                found[name] = len(state.delayed)
            return found

    def count_dead_letters(self) -> int:
        with self._store.lock:
            return len(self._store.dead)

    def broadcast(self, exchange: Exchange, message: Message) -> int | None:
        self.publish_many([Publication(message, Destination(exchange.name, ""))])
        with self._store.lock:
            bound = {row.queue for row in self._store.bindings.get(exchange.name, ())}
            now = self._store.clock()
            return sum(
                lease.until > now and not bound.isdisjoint(lease.queues) for lease in self._store.leases.values()
            )

    def keep_notices(self, topic: str, notices: Sequence[str], *, seconds: float) -> None:
        self._check_open()
        with self._store.lock:
            kept = self._store.notices.setdefault(topic, {})
            for text in notices:
                kept.pop(text, None)
                kept[text] = self._store.clock() + seconds
            while len(kept) > MAX_NOTICES:
                del kept[next(iter(kept))]

    def notices(self, topic: str) -> list[str]:
        self._check_open()
        with self._store.lock:
            now, kept = self._store.clock(), self._store.notices.get(topic, {})
            return [text for text, until in kept.items() if until > now]

    def wake(self) -> None:
        self._bell.put(True)

    def close(self) -> None:
        with self._store.lock:
            self._closed = True
            lapsed = self._lease is None or self._lease.until <= self._store.clock()
            self._store.end(self.session_id, charge=lapsed)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosed("the session of the memory broker was closed; open another one")

    def _held(self) -> _Lease:
        """This session's lease, which begins with its first use as a consumer.

        Raises:
            SessionLost: It ran out.
        """
        if self._lease is None:
            until = self._store.clock() + self._options.lease
            self._lease = self._store.leases[self.session_id] = _Lease(until, self._bell)
        elif self._lease.until <= self._store.clock() or self.session_id not in self._store.leases:
            raise SessionLost(
                f"the session was silent for longer than its lease of {self._options.lease:g} s; "
                f"what it held belongs to others now"
            )
        return self._lease

    def _release(self, deliveries: Iterable[Delivery]) -> list[_Entry]:
        """Take deliveries of this session from under its lease; those it does not hold are left out."""
        self._check_open()
        lease = self._lease
        if lease is None or lease.until <= self._store.clock() or self.session_id not in self._store.leases:
            return []
        mine = (lease.held.pop(d.tag, None) for d in deliveries if d.session_id == self.session_id)
        return [entry for entry in mine if entry is not None]

    def _claim(self, limit: int) -> list[Delivery]:
        lease = self._held()
        lease.until = self._store.clock() + self._options.lease
        names = lease.queues
        found: list[Delivery] = []
        for offset in range(len(names)):
            name = names[(self._turn + offset) % len(names)]
            found += [self._delivery(e) for e in self._store.take(lease, name, limit - len(found))]
            if len(found) >= limit:
                break
        self._turn += 1
        return found

    def _delivery(self, entry: _Entry) -> Delivery:
        return Delivery(
            entry.message,
            entry.queue,
            entry.id,
            self.session_id,
            entry.exchange,
            entry.routing_key,
            redelivered=entry.charged > 0,
            deliveries=entry.charged + 1,
        )

    def _dead_letter(self, entry: _Entry, reason: str) -> DeadLetter:
        details: dict[str, Any] = {
            "deliveries": entry.charged + 1,
            "exchange": entry.exchange,
            "routing_key": entry.routing_key,
        }
        return DeadLetter(str(entry.id), entry.queue, reason, entry.message, self._store.clock(), details)

    def _next_due(self) -> float:
        """Seconds until something of the consumed queues becomes due, or this lease needs renewal."""
        now = self._store.clock()
        heaps = [self._store.queue(name).delayed for name in self._held().queues]
        due = min((heap[0][0] for heap in heaps if heap), default=math.inf)
        return max(min(due - now, self._options.lease / 3), 0.001)

    def _drain_bell(self) -> bool:
        woken = False
        try:
            while True:
                woken = self._bell.get_nowait() or woken
        except Empty:
            return woken
