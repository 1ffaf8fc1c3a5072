"""Queues, bindings and consumers in tables.  Messages and leases are the session's."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.bindings import BindingRow, Lifetime, binding_rows, check_queue, route
from celeriac.broker.sql.envelope import to_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.broker.sql.envelope import Row
    from celeriac.broker.sql.store import Store
    from celeriac.broker.topology import Queue
    from celeriac.message import Publication


class Topology:
    """What one session knows and changes about queues.

    Args:
        store: The session's store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._statements = store.statements
        self._declared: dict[Queue, Lifetime] = {}
        #: Seconds that messages may wait, by queue; only where that is limited.
        self._ttl: dict[str, float] = {}

    def declare(self, queues: Sequence[Queue]) -> None:
        """Store what is not stored yet; each queue once in a session."""
        for queue in queues:
            if queue in self._declared:
                continue
            lifetime = check_queue(queue, self._store.dialect.name)
            if not queue.no_declare:
                self._store_bindings(queue)
                self._store_lifetime(queue.name, lifetime)
            self._declared[queue] = lifetime
            if lifetime.message_ttl is not None:
                self._ttl[queue.name] = lifetime.message_ttl

    def _store_bindings(self, queue: Queue) -> None:
        wanted = binding_rows(queue)
        if not wanted:
            return
        stored = {BindingRow(*row) for row in self._store.query(self._statements.bindings_to, (queue.name,))}
        missing = [row for row in wanted if row not in stored]
        if missing:
            with self._store.transaction():
                self._store.execute_many(self._statements.add_binding, missing)

    def _store_lifetime(self, name: str, lifetime: Lifetime) -> None:
        rows = self._store.query(self._statements.lifetime, (name,))
        stored = Lifetime(rows[0][0], rows[0][1], bool(rows[0][2])) if rows else Lifetime(None, None, False)
        if stored == lifetime:
            return
        with self._store.transaction():
            self._store.execute(self._statements.drop_lifetime, (name,))
            if lifetime != (None, None, False):
                expires, ttl, transient = lifetime
                self._store.execute(self._statements.add_lifetime, (name, expires, ttl, int(transient)))

    def consume(self, queues: Sequence[Queue], session: int) -> None:
        """Note who uses the queues that go away when nobody does."""
        self._store.execute(self._statements.drop_consumers, (session,))
        limited = [
            queue.name
            for queue in queues
            if self._declared[queue].expires is not None or self._declared[queue].transient
        ]
        if limited:
            with self._store.transaction():
                self._store.execute_many(
                    self._statements.add_consumer, [(name, session) for name in dict.fromkeys(limited)]
                )

    def audience(self, exchange: str) -> tuple[dict[str, list[BindingRow]], int]:
        """Bindings of a fanout exchange, for what is published to it now, and how many sessions hear it."""
        rows = self._store.query(self._statements.audience, (exchange, exchange))
        return {exchange: self._take_bindings(rows)}, int(rows[0][5]) if rows else 0

    def rows_of(self, items: Sequence[Publication], known: dict[str, list[BindingRow]] | None = None) -> list[Row]:
        """One row for each queue that each publication reaches.

        Args:
            items: The publications.
            known: Bindings by exchange that were read just now.
        """
        self.declare([i.destination.queue for i in items if i.destination.queue is not None])
        now = time.time()
        bindings = {} if known is None else known
        rows: list[Row] = []
        for item in items:
            if not item.destination.exchange:
                queues = [item.destination.routing_key]
            else:
                queues = route(item, lambda exchange: self._bindings_of(exchange, bindings), "SQL")
            for queue in queues:
                ttl = self._ttl.get(queue)
                rows.append(to_row(item, queue, None if ttl is None else now + ttl, now))
        return rows

    def _bindings_of(self, exchange: str, known: dict[str, list[BindingRow]]) -> list[BindingRow]:
        """The bindings of an exchange, read once per batch: another session may have added one."""
        if exchange not in known:
            known[exchange] = self._take_bindings(self._store.query(self._statements.bindings_of, (exchange,)))
        return known[exchange]

    def _take_bindings(self, rows: Sequence[Sequence[Any]]) -> list[BindingRow]:
        self._ttl.update((row[3], row[4]) for row in rows if row[4] is not None)
        return [BindingRow(*row[:4]) for row in rows]

    def end_consumer(self, session: int) -> None:
        """Forget a session as a consumer; drop the queues that lived by it."""
        names = [row[0] for row in self._store.query(self._statements.consumed_by, (session,))]
        if not names:
            return
        self._store.execute(self._statements.drop_consumers, (session,))
        for name in names:
            self._store.execute(self._statements.use_queue, (name,))
            if self._store.query(self._statements.idle_transient, (name,)):
                self.drop(name)

    def sweep(self) -> None:
        """Drop queues that nobody used for their time, and messages that waited for theirs."""
        for (name,) in self._store.query(self._statements.expired_queues):
            self.drop(name)
        self._store.execute(self._statements.drop_all_expired)

    def drop(self, name: str) -> None:
        """Delete a queue with its bindings and waiting messages."""
        with self._store.transaction():
            for statement in (
                self._statements.drop_bindings,
                self._statements.drop_lifetime,
                self._statements.purge,
            ):
                self._store.execute(statement, (name,))
