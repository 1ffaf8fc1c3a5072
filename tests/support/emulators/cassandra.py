"""The session of Cassandra's client, in this process: there is no server, and its protocol is not HTTP.

It knows the forms of statements that are used, in which ``?`` is a parameter, and what tells Cassandra from other
stores: columns expire one by one, a row that was inserted outlives them if it was given more time, an update makes no
such row, and a transaction that timed out may be done later, which only serial operations see to.

https://cassandra.apache.org/doc/latest/cassandra/developing/cql/dml.html
"""

from __future__ import annotations

import re
import threading
import time
from copy import copy
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cassandra import ConsistencyLevel, InvalidRequest, ReadTimeout, WriteTimeout, WriteType
from cassandra.cqltypes import BytesType, DateType, Int32Type, UTF8Type, UUIDType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TTL = ("[ttl]", Int32Type)
_NEVER = float("inf")
_PROTOCOL = 4
_TYPES: dict[str, Any] = {"text": UTF8Type, "blob": BytesType, "timestamp": DateType, "uuid": UUIDType}
_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)(?:, PRIMARY KEY \(\((\w+)\), (\w+)\) )?\).*")
_INSERT = re.compile(r"INSERT INTO (\w+) \(([\w, ]+)\) VALUES \([?, ]+\)( IF NOT EXISTS)? USING TTL \?")
_UPDATE = re.compile(r"UPDATE (\w+) USING TTL \? SET ([\w, =?]+) WHERE (\w+) = \? IF (\w+) = \?")
_DELETE = re.compile(r"DELETE FROM (\w+) WHERE (\w+) = \?( IF EXISTS)?")
_SELECT = re.compile(r"SELECT ([\w, ]+) FROM (\w+) WHERE (\w+) = \?( LIMIT 1)?")


class Fault(Enum):
    """What happens to a request that times out."""

    #: Nothing is done.
    LOST = 0
    #: It is done.
    DONE = 1
    #: It is done by the next serial operation on its partition.
    IN_FLIGHT = 2


class Statement:
    """A prepared statement.

    Args:
        text: What it says.
        run: Does it with parameters.
        table: Name of its table.
        key: The column whose parameter is the partition.
        parameters: Columns, and their types, of its parameters.
        found: Those of what it finds.
    """

    def __init__(
        self,
        text: str,
        run: Callable[[Sequence[Any]], Any],
        *,
        table: str,
        key: str,
        parameters: Sequence[tuple[str, Any]],
        found: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.text, self.run, self.table, self.parameters, self.found = text, run, table, parameters, found
        self.key_at = [name for name, _ in parameters].index(key)
        self.is_read, self.is_transaction = text.startswith("SELECT"), " IF " in text
        self.consistency_level: int | None = None
        self.serial_consistency_level: int | None = None
        self.retry_policy: Any = None

    def at(self, level: int) -> Statement:
        """The same at a level of consistency."""
        same = copy(self)
        same.consistency_level = level
        return same


class _Row:
    """Columns, and until when each is there; and until when the row is, if it was inserted."""

    def __init__(self) -> None:
        self.inserted_until = 0.0
        self.cells: dict[str, tuple[Any, float]] = {}

    def put(self, columns: dict[str, Any], until: float) -> None:
        self.cells.update({name: (value, until) for name, value in columns.items()})

    def get(self, name: str) -> Any:
        value, until = self.cells.get(name, (None, 0.0))
        return value if until > time.time() else None

    def exists(self) -> bool:
        return self.inserted_until > time.time() or any(self.get(name) is not None for name in self.cells)


class _Table:
    """Rows by partition and, where there is one, by the clustering column."""

    def __init__(self, columns: dict[str, Any], partition: str, clustering: str | None) -> None:
        self.columns, self.partition, self.clustering = columns, partition, clustering
        self.partitions: dict[Any, dict[Any, _Row]] = {}

    def rows(self, key: Any) -> list[tuple[Any, _Row]]:
        """The rows of a partition, the last one first."""
        there = self.partitions.get(key, {})
        return sorted(((place, row) for place, row in there.items() if row.exists()), reverse=True, key=lambda e: e[0])

    def typed(self, names: Sequence[str]) -> list[tuple[str, Any]]:
        """Columns with their types."""
        return [(name, self.columns[name]) for name in names]

    def kept(self, name: str, value: Any) -> Any:
        """A value as the client sends it and gives it back."""
        kind = self.columns[name]
        return None if value is None else kind.from_binary(kind.to_binary(value, _PROTOCOL), _PROTOCOL)

    def columns_of(self, key: Any, place: Any, row: _Row, names: Sequence[str]) -> tuple[Any, ...]:
        keys = {self.partition: key, self.clustering: place}
        return tuple(keys[name] if name in keys else row.get(name) for name in names)


class Answer:
    """Rows with the names of their columns."""

    def __init__(self, column_names: Sequence[str] | None = None, *rows: tuple[Any, ...]) -> None:
        self.column_names, self.rows = column_names, rows

    def one(self) -> tuple[Any, ...] | None:
        """The first row."""
        return self.rows[0] if self.rows else None


class Server:
    """Tables, and the sessions that use them.

    Attributes:
        faults: What happens to the next statements that begin with these words.
        requests: The statements that were executed, and the parameters of each.
        schema_changes: How often a table was to be made.
        connections: Arguments of every cluster that was made.
        open: How many of them are open.
    """

    def __init__(self) -> None:
        self.tables: dict[str, _Table] = {}
        self.faults: list[tuple[str, Fault]] = []
        self.requests: list[tuple[Statement, Sequence[Any]]] = []
        self.schema_changes = 0
        self.connections: list[dict[str, Any]] = []
        self.open = 0
        self._in_flight: dict[tuple[str, Any], Callable[[], Any]] = {}
        self._lock = threading.RLock()

    # --- the client

    def cluster(self, **arguments: Any) -> Any:
        """What `cassandra.cluster.Cluster` gives."""
        self.connections.append(arguments)
        self.open += 1
        return SimpleNamespace(connect=lambda keyspace: self, shutdown=self._shutdown)

    def _shutdown(self) -> None:
        self.open -= 1

    def prepare(self, text: str) -> Statement:
        """Understand a statement."""
        forms: dict[re.Pattern[str], Callable[..., Statement]] = {
            _INSERT: self._insert,
            _UPDATE: self._update,
            _DELETE: self._delete,
            _SELECT: self._select,
        }
        for form, understand in forms.items():
            if match := form.fullmatch(text):
                return understand(text, *match.groups())
        raise AssertionError(f"the emulation does not know {text!r}")

    def execute(
        self, statement: str | Statement, parameters: Sequence[Any] = (), timeout: float | None = None
    ) -> Answer:
        """Do it."""
        if isinstance(statement, str):
            return self._make_table(" ".join(statement.split()))
        with self._lock:
            self.requests.append((statement, parameters))
            partition = (statement.table, parameters[statement.key_at])
            if statement.is_transaction or statement.consistency_level == ConsistencyLevel.SERIAL:
                self._in_flight.pop(partition, lambda: None)()
            fault = self._fault(statement)
            if fault is None:
                return statement.run(parameters)  # type: ignore[no-any-return]
            if fault is Fault.DONE:
                statement.run(parameters)
            elif fault is Fault.IN_FLIGHT:
                self._in_flight[partition] = lambda: statement.run(parameters)
            if statement.is_read:
                raise ReadTimeout("provoked", consistency=statement.consistency_level)
            kind = WriteType.CAS if statement.is_transaction else WriteType.SIMPLE
            raise WriteTimeout("provoked", write_type=kind, consistency=statement.consistency_level)

    def execute_async(self, statement: Statement, parameters: Sequence[Any], timeout: float | None = None) -> Any:
        """Do it; errors are told by ``result``."""
        return SimpleNamespace(result=lambda: self.execute(statement, parameters, timeout))

    def _fault(self, statement: Statement) -> Fault | None:
        for number, (words, fault) in enumerate(self.faults):
            if statement.text.startswith(words):
                del self.faults[number]
                return fault
        return None

    # --- statements

    def _make_table(self, text: str) -> Answer:
        match = _CREATE.fullmatch(text)
        assert match, text
        name, columns, partition, clustering = match.groups()
        self.schema_changes += 1
        kinds = [column.split()[:2] for column in columns.split(", ")]
        if name not in self.tables:
            types = {column: _TYPES[kind] for column, kind in kinds}
            self.tables[name] = _Table(types, partition or kinds[0][0], clustering)
        return Answer()

    def _table(self, name: str, *columns: str) -> _Table:
        if name not in self.tables:
            raise InvalidRequest(f"unconfigured table {name}")
        table = self.tables[name]
        if unknown := set(columns) - set(table.columns):
            raise InvalidRequest(f"Undefined column name {unknown.pop()} in table {name}")
        return table

    def _insert(self, text: str, name: str, columns: str, condition: str | None) -> Statement:
        names = columns.split(", ")
        table = self._table(name, *names)

        def run(parameters: Sequence[Any]) -> Answer:
            *values, ttl = parameters
            given = {column: table.kept(column, value) for column, value in zip(names, values, strict=True)}
            key, place = given.pop(table.partition), given.pop(table.clustering or "", None)
            if condition and (there := table.rows(key)):
                others = sorted(set(table.columns) - {table.partition})
                found = table.columns_of(key, *there[0], [table.partition, *others])
                return Answer(["[applied]", table.partition, *others], (False, *found))
            until = time.time() + ttl if ttl else _NEVER
            row = table.partitions.setdefault(key, {}).setdefault(place, _Row())
            row.inserted_until = until
            row.put(given, until)
            return Answer(["[applied]"], (True,)) if condition else Answer()

        return Statement(text, run, table=name, key=table.partition, parameters=[*table.typed(names), _TTL])

    def _update(self, text: str, name: str, assignments: str, key_column: str, compared: str) -> Statement:
        names = [assignment.removesuffix(" = ?") for assignment in assignments.split(", ")]
        table = self._table(name, *names, key_column, compared)
        assert (table.partition, table.clustering) == (key_column, None)

        def run(parameters: Sequence[Any]) -> Answer:
            ttl, *values, key, expected = parameters
            there = table.rows(key)
            found = there[0][1].get(compared) if there else None
            if found != expected:
                return Answer(["[applied]", compared], (False, found)) if there else Answer(["[applied]"], (False,))
            row = table.partitions.setdefault(key, {}).setdefault(None, _Row())
            row.put(dict(zip(names, map(table.kept, names, values), strict=True)), time.time() + ttl if ttl else _NEVER)
            return Answer(["[applied]"], (True,))

        parameters = [_TTL, *table.typed([*names, key_column, compared])]
        return Statement(text, run, table=name, key=key_column, parameters=parameters)

    def _delete(self, text: str, name: str, key_column: str, condition: str | None) -> Statement:
        table = self._table(name, key_column)

        def run(parameters: Sequence[Any]) -> Answer:
            is_there = bool(table.rows(parameters[0]))
            table.partitions.pop(parameters[0], None)
            return Answer(["[applied]"], (is_there,)) if condition else Answer()

        return Statement(text, run, table=name, key=key_column, parameters=table.typed([key_column]))

    def _select(self, text: str, columns: str, name: str, key_column: str, limit: str | None) -> Statement:
        names = columns.split(", ")
        table = self._table(name, *names, key_column)

        def run(parameters: Sequence[Any]) -> Answer:
            rows = table.rows(parameters[0])[: 1 if limit else None]
            return Answer(names, *(table.columns_of(parameters[0], *found, names) for found in rows))

        parameters, found = table.typed([key_column]), table.typed(names)
        return Statement(text, run, table=name, key=key_column, parameters=parameters, found=found)
