"""The key-value store that two tables of Cassandra make.

A result is what our table says; its row in Celery's table is written afterwards, and is read only where a worker of
Celery has come later.
"""

from __future__ import annotations

import datetime as dt
from math import ceil
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from celeriac import states
from celeriac.backend.keys import OWN_PREFIX, TASK_PREFIX, split_key
from celeriac.backend.kv.cassandra.client import translated
from celeriac.backend.kv.cassandra.rows import Kept, RowCodec
from celeriac.backend.kv.cassandra.tables import Value
from celeriac.backend.kv.cassandra.transactions import Seen, Transactions
from celeriac.backend.kv.driver import ABSENT, ANY, Entry, ParallelDriver, Stored, in_parallel
from celeriac.exceptions import BackendStoreError
from celeriac.utils.per_process import PerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from celeriac.backend.base import BackendOptions
    from celeriac.backend.kv.cassandra.rows import Row
    from celeriac.backend.kv.cassandra.tables import Tables
    from celeriac.backend.kv.driver import Codec

#: Writes of one call that are under way at once.
_WRITES_AT_ONCE: Final = 16
#: Bytes of the largest value: of a mutation, unless the server is set up for another size.
_LARGEST: Final = 16 << 20
#: What tells two rows of a task apart.
_TICK: Final = dt.timedelta(milliseconds=1)


class CassandraDriver(ParallelDriver):
    """Two tables of a keyspace.

    Args:
        connect: Makes a cluster, and its tables.
        lifetime: Seconds that results are kept; 0 is for ever, None leaves it to each of them.
        timeout: Seconds after which what is tried again and again has failed.
    """

    requests_at_once = _WRITES_AT_ONCE
    name = "cassandra"
    url = "cassandra://"
    longest_pause = 0.5

    def __init__(self, connect: Callable[[], tuple[Any, Tables]], lifetime: int | None, timeout: float) -> None:
        self._lifetime = lifetime
        self._client: PerProcess[tuple[Any, Tables]] = PerProcess(connect, lambda client: client[0].shutdown())
        self._transactions = Transactions(self._tables, timeout, self.url)

    def _tables(self) -> Tables:
        return self._client.get()[1]

    def codec(self, options: BackendOptions) -> Codec:
        return RowCodec(options)

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        tables = self._tables()
        own = [key for key in keys if _is_own(key)]
        others = [key for key in keys if not _is_own(key)]
        tasks = {key: task_id for key in others if (task_id := _task_id(key)) is not None}
        # First, so that whoever wrote a row of these has its value there by now.
        rows = tables.rows(list(tasks.values()))
        # A serial read holds up who writes, and those who wait read the same results again and again: these may be a
        # moment old.  What steps of chords depend on may not.
        values = {**tables.settled(own), **tables.values(others)}
        found = ((key, _latest(values.get(key), rows.get(tasks.get(key, "")))) for key in keys)
        return {key: stored for key, stored in found if stored is not None}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        task_id, ttl = _task_id(entry.key), self._ttl(entry)
        if task_id is None:
            return self._keep(entry.key, entry.data, ttl, expecting) is not None
        # A worker of Celery has no other table.
        if expecting is ABSENT and self._tables().rows([task_id]):
            return False
        kept: Kept = entry.data
        value = self._keep(entry.key, kept.data, ttl, expecting, kept.row)
        if value is None:
            return False
        self._tables().insert_row(task_id, kept.row._replace(date_done=value.shown_at or kept.row.date_done), ttl)
        return True

    def _keep(self, key: str, data: bytes, ttl: int, expecting: Any, row: Row | None = None) -> Value | None:
        """Keep something in our table; a result goes with a row that is later than the one before it."""
        if len(data) > _LARGEST:
            raise BackendStoreError(f"{key} has {len(data):,} bytes, but {self.url} keeps up to {_LARGEST:,}")

        def make(shown_at: dt.datetime | None) -> Value:
            if row is None:
                return Value(data, uuid4())
            date = row.date_done if shown_at is None else max(row.date_done, shown_at + _TICK)
            return Value(data, uuid4(), row.status, date)

        return self._transactions.keep(key, make, ttl, expecting)

    def delete(self, keys: Sequence[str]) -> None:
        tables = self._tables()

        def delete_one(key: str) -> None:
            if (task_id := _task_id(key)) is not None:
                tables.delete_rows(task_id)
            self._transactions.delete(key)

        for _ in in_parallel(delete_one, list(dict.fromkeys(keys)), _WRITES_AT_ONCE):
            continue

    def _ttl(self, entry: Entry) -> int:
        """Whole seconds; 0 is for ever."""
        seconds = entry.seconds
        if self._lifetime is not None and not _is_own(entry.key):
            seconds = self._lifetime
        return max(ceil(seconds), 1) if seconds else 0

    def errors(self) -> AbstractContextManager[None]:
        return translated(self.url)

    def close(self) -> None:
        self._client.close()


def _is_own(key: str) -> bool:
    """Whether it is the key of something else than a result or a group."""
    return split_key(key)[0] == OWN_PREFIX


def _task_id(key: str) -> str | None:
    """The id of a task, if the key is that of its result; Celery's table knows no ``global_keyprefix``."""
    return key.partition(TASK_PREFIX)[2] if split_key(key)[0] == TASK_PREFIX else None


def _latest(value: Value | None, row: Row | None) -> Stored | None:
    """What counts: our value, unless a worker of Celery has added a row since, and it was no success."""
    if value is None:
        return None if row is None else Stored(row, Seen(None, row.date_done))
    if row is None or value.status == states.SUCCESS or value.shown_at is None or row.date_done <= value.shown_at:
        return Stored(value.data, Seen(value.version, value.shown_at))
    return Stored(row, Seen(value.version, row.date_done))
