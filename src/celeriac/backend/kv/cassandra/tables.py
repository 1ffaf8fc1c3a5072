"""The two tables of results in Cassandra, and every statement about them.  Each method sends one request a key.

What is in the table of our own is only ever changed by lightweight transactions, with a version of its own for each
change.  https://cassandra.apache.org/doc/latest/cassandra/developing/cql/dml.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from celeriac.backend.kv.cassandra.client import NOT_BEGUN, UNDECIDED
from celeriac.backend.kv.cassandra.rows import Row, in_milliseconds
from celeriac.backend.kv.driver import pages

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from celeriac.backend.kv.cassandra.client import Levels

T = TypeVar("T")

#: What is put after the name of Celery's table to name ours.
OWN_SUFFIX: Final = "_celeriac"
#: Requests under way at once for one call.
_AT_ONCE: Final = 100
#: How often to read what times out.
_ATTEMPTS: Final = 3

_MAKE_CELERYS: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    task_id text, status text, result blob, date_done timestamp, traceback blob, children blob,
    PRIMARY KEY ((task_id), date_done)
) WITH CLUSTERING ORDER BY (date_done DESC)
"""
_MAKE_OWN: Final = """
CREATE TABLE IF NOT EXISTS {own} (
    key text PRIMARY KEY, data blob, version uuid, status text, shown_at timestamp
)
"""
_READ: Final = "SELECT data, version, status, shown_at FROM {own} WHERE key = ?"
_CREATE: Final = (
    "INSERT INTO {own} (key, data, version, status, shown_at) VALUES (?, ?, ?, ?, ?) IF NOT EXISTS USING TTL ?"
)
_REPLACE: Final = (
    "UPDATE {own} USING TTL ? SET data = ?, version = ?, status = ?, shown_at = ? WHERE key = ? IF version = ?"
)
_DELETE: Final = "DELETE FROM {own} WHERE key = ? IF EXISTS"
_READ_ROW: Final = "SELECT status, result, date_done, traceback, children FROM {table} WHERE task_id = ? LIMIT 1"
_INSERT_ROW: Final = (
    "INSERT INTO {table} (task_id, status, result, date_done, traceback, children) VALUES (?, ?, ?, ?, ?, ?) "
    "USING TTL ?"
)
_DELETE_ROWS: Final = "DELETE FROM {table} WHERE task_id = ?"


class Value(NamedTuple):
    """What is in our table under a key.

    Attributes:
        data: The value.
        version: Made anew for each change, so that whoever finds it knows whose change it was.
        status: State of the task, if it is a result.
        shown_at: ``date_done`` of its row in Celery's table, if it is one: later than that of the value before it.
    """

    data: bytes
    version: UUID
    status: str | None = None
    shown_at: dt.datetime | None = None


class Tables:
    """Both tables, through a session.

    Args:
        session: The session, in the keyspace.
        table: Name of Celery's table.
        levels: Consistency of the statements.
        timeout: Seconds for a request.

    Raises:
        InvalidRequest, of cassandra-driver: A table is missing, or is another one.
    """

    def __init__(self, session: Any, table: str, levels: Levels, timeout: float) -> None:
        self._session, self._timeout = session, timeout

        def prepared(text: str) -> Any:
            return session.prepare(text.format(table=table, own=table + OWN_SUFFIX))

        self._read = levels.for_read(prepared(_READ))
        self._read_settled = levels.for_serial_read(prepared(_READ))
        self._create = levels.for_transaction(prepared(_CREATE))
        self._replace = levels.for_transaction(prepared(_REPLACE))
        self._delete = levels.for_transaction(prepared(_DELETE))
        self._read_row = levels.for_read(prepared(_READ_ROW))
        self._insert_row = levels.for_write(prepared(_INSERT_ROW))
        self._delete_rows = levels.for_write(prepared(_DELETE_ROWS))

    @staticmethod
    def make(session: Any, table: str) -> None:
        """Make the tables that are missing."""
        session.execute(_MAKE_CELERYS.format(table=table))
        session.execute(_MAKE_OWN.format(own=table + OWN_SUFFIX))

    # --- ours

    def values(self, keys: Sequence[str]) -> dict[str, Value]:
        """What is there, as far as the consistency of reads goes."""
        return self._each(self._read, keys, _value)

    def settled(self, keys: Sequence[str]) -> dict[str, Value]:
        """What is there, with every change that was decided, and after undoing or ending those that were not."""
        return self._each(self._read_settled, keys, _value)

    def create(self, key: str, value: Value, ttl: int) -> bool:
        """Keep a value where there is none."""
        there = self._execute(self._create, (key, *value, ttl))
        if there["[applied]"]:
            return True
        # A row outlives its columns where these were given a shorter time than it; there is no value all the same.
        return there["version"] is None and self.replace(key, value, ttl, None)

    def replace(self, key: str, value: Value, ttl: int, version: UUID | None) -> bool:
        """Keep a value in the place of the one of this version."""
        parameters = (ttl, *value, key, version)
        return bool(self._execute(self._replace, parameters)["[applied]"])

    def delete(self, key: str) -> None:
        """Keep no value, whatever is there."""
        self._execute(self._delete, (key,))

    # --- Celery's

    def rows(self, task_ids: Sequence[str]) -> dict[str, Row]:
        """The row that Celery would read, by task."""
        return self._each(self._read_row, task_ids, _row)

    def insert_row(self, task_id: str, row: Row, ttl: int) -> None:
        """Add a row, in the place of one of the same millisecond."""
        self._execute(self._insert_row, (task_id, *row, ttl))

    def delete_rows(self, task_id: str) -> None:
        """Delete all rows of a task."""
        self._execute(self._delete_rows, (task_id,))

    # --- requests

    def _execute(self, statement: Any, parameters: Sequence[Any]) -> dict[str, Any]:
        """The first row of an answer by the names of its columns."""
        return _named(self._session.execute(statement, parameters, timeout=self._timeout))

    def _each(self, statement: Any, keys: Sequence[str], read: Callable[[dict[str, Any]], T | None]) -> dict[str, T]:
        """What is read for each key; those for which there is nothing are missing."""
        found = {}
        for page in pages(keys, _AT_ONCE):
            for key, row in self._ask(statement, page):
                if row and (what := read(row)) is not None:
                    found[key] = what
        return found

    def _ask(self, statement: Any, keys: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The first row for each key; what times out is asked again, as many may be asked for at once."""
        deadline, attempts = time.monotonic() + self._timeout, _ATTEMPTS
        while keys:
            asked = [(key, self._session.execute_async(statement, (key,), timeout=self._timeout)) for key in keys]
            keys, attempts = [], attempts - 1
            for key, answer in asked:
                try:
                    yield key, _named(answer.result())
                except NOT_BEGUN:
                    raise
                except UNDECIDED:
                    if not attempts or time.monotonic() >= deadline:
                        raise
                    keys.append(key)


def _named(answer: Any) -> dict[str, Any]:
    row = answer.one()
    if row is None:
        return {}
    # Tuples or mappings: settings may have changed what rows are.
    columns = row.values() if isinstance(row, Mapping) else row
    return dict(zip(answer.column_names, columns, strict=True))


def _value(row: dict[str, Any]) -> Value | None:
    if row["version"] is None:
        return None
    shown_at = row["shown_at"]
    data = bytes(row["data"] or b"")
    return Value(data, row["version"], row["status"], None if shown_at is None else in_milliseconds(shown_at))


def _row(row: dict[str, Any]) -> Row:
    return Row(**{**row, "date_done": in_milliseconds(row["date_done"])})
