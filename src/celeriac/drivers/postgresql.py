"""A connection to PostgreSQL on psycopg's binding of libpq: deadlines, pipelines, prepared statements, notifications.

It knows no tables.  psycopg's own cursors are not used: they have no deadline for a statement, and cost several times
what the statements of a queue take.
"""

from __future__ import annotations

import os
import re
import select
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

try:
    import psycopg
    from psycopg import pq
except ImportError as exc:
    from celeriac.exceptions import ImproperlyConfigured

    raise ImproperlyConfigured("postgresql:// needs the package psycopg: pip install 'celeriac[postgresql]'") from exc

from celeriac.drivers.transactions import Transactional
from celeriac.exceptions import OperationalError, SessionClosed, SessionLost, SessionRefused
from celeriac.utils.polling import make_poll
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from psycopg.pq.abc import PGconn, PGresult

    Statement: TypeAlias = tuple[str, Sequence[Any]]
    Transaction: TypeAlias = Sequence[Statement]

#: Messages of libpq that mean "no, and asking again will not help".
_REFUSALS = re.compile(
    r"authentication failed|no password supplied|pg_hba\.conf|permission denied|does not exist|not permitted"
)
#: Errors after which a statement may simply be run again: serialization failure, deadlock.
_TRANSIENT = frozenset({"40001", "40P01"})
_ATTEMPTS = 5

_OK = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK, pq.ExecStatus.EMPTY_QUERY})


class StatementTimeout(OperationalError, TimeoutError):
    """No answer came until the deadline; the connection is closed, because what it would say next is unknown."""


class Answer(NamedTuple):
    """What a statement returned: its rows, and how many rows it touched."""

    rows: list[tuple[Any, ...]]
    touched: int


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _float8(data: bytes) -> float:
    value: float = struct.unpack("!d", data)[0]
    return value


#: How the binary form of a column is read, by the type's number.
_READERS: dict[int, Callable[[bytes], Any]] = {
    16: lambda data: data == b"\x01",
    17: bytes,
    19: bytes.decode,
    20: _int,
    21: _int,
    23: _int,
    25: bytes.decode,
    701: _float8,
    1043: bytes.decode,
}


def numbered(statement: str) -> str:
    """A statement with ``$1``, ``$2`` … in place of ``%s``.

    >>> numbered("SELECT %s, %s")
    'SELECT $1, $2'
    """
    first, *rest = statement.split("%s")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


class Connection(Transactional):
    """A connection in autocommit mode. Used by one thread at a time.

    Args:
        url: ``postgresql://user:password@host:port/database?parameter=value``, as libpq reads it.
        connect_timeout: Seconds to establish it.
        timeout: Seconds for a statement, unless `within` says otherwise.

    Raises:
        SessionRefused: Credentials or permissions are wrong, or there is no such database.
        OperationalError: The server cannot be reached in time.
    """

    def __init__(self, url: str, connect_timeout: float, timeout: float) -> None:
        self.pid = os.getpid()
        self.shown_url = redact(url)
        self._timeout = timeout
        self._deadline: float | None = None
        self._pgconn: PGconn | None = None
        self._prepared: dict[str, bytes] = {}
        self._is_durable = True
        self._next_name = 0
        self._is_broken = False
        #: Notifications have arrived that nobody asked for yet.
        self.has_news = False
        #: One of them had the payload ``r``.
        self.has_returned = False
        with self.within(connect_timeout):
            self._pgconn = self._connect(url)
        self._pgconn.nonblocking = 1

    # Connecting

    def _connect(self, url: str) -> PGconn:
        # SQLAlchemy's spelling of schemes is understood; libpq knows these two.
        conninfo = re.sub(r"^(postgres(ql)?)(\+\w+)?://", "postgresql://", url)
        pgconn = pq.PGconn.connect_start(conninfo.encode())
        try:
            while True:
                status = pgconn.connect_poll()
                if status == pq.PollingStatus.OK:
                    return pgconn
                if status == pq.PollingStatus.FAILED:
                    self._refuse(pgconn.get_error_message().strip())
                self._await_socket(pgconn, writing=status == pq.PollingStatus.WRITING)
        except StatementTimeout as exc:
            pgconn.finish()
            raise OperationalError(f"PostgreSQL at {self.shown_url} did not answer in time") from exc
        except BaseException:
            pgconn.finish()
            raise

    def _refuse(self, message: str) -> None:
        text = f"PostgreSQL at {self.shown_url} cannot be connected to: {message}"
        raise SessionRefused(text) if _REFUSALS.search(message) else OperationalError(text)

    def close(self) -> None:
        """Close; in a forked child, leave the parent's connection alone."""
        pgconn, self._pgconn = self._pgconn, None
        if pgconn is not None:
            if self.pid == os.getpid():
                pgconn.finish()
            else:
                # finish() would say good-bye to the server in the parent's name.
                _inherited.append(pgconn)

    def fileno(self) -> int:
        """The socket's descriptor, to wait for notifications."""
        return self._usable().socket

    # Deadlines

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """Give everything in the block one deadline."""
        previous = self._deadline
        if seconds is not None:
            self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = previous

    def _await_socket(self, pgconn: PGconn, *, writing: bool = False) -> None:
        """Wait until the socket can be used.

        Raises:
            StatementTimeout: Not until the deadline.
        """
        deadline = self._deadline
        remaining = 0.0 if deadline is None else deadline - time.monotonic()
        poll = make_poll()
        poll.register(pgconn.socket, select.POLLIN | (select.POLLOUT if writing else 0))
        if remaining <= 0 or not poll.poll(remaining * 1000):
            raise StatementTimeout(f"PostgreSQL at {self.shown_url} did not answer in time")

    # Statements

    def run(self, statement: str, parameters: Sequence[Any] = (), *, durable: bool = True) -> Answer:
        """Run one statement.

        Args:
            statement: With ``%s`` for parameters.
            parameters: None, int, float, str, bytes, or a list of int or str.
            durable: Wait until the commit is on disk.
        """
        return self.run_pipeline([[(statement, parameters)]], durable=durable)[0]

    def run_pipeline(self, transactions: Sequence[Transaction], *, durable: bool = True) -> list[Answer]:
        """Run several transactions of several statements in one round trip; the answers of all, in order.

        A failure undoes its own transaction and raises; the others take effect.
        """
        attempt = 1
        while True:
            try:
                with self._exchange() as pgconn:
                    return self._run_pipeline(pgconn, transactions, durable=durable)
            except _Transient as exc:
                if attempt == _ATTEMPTS or self._in_transaction:
                    raise OperationalError(str(exc)) from exc
            attempt += 1

    def _run_pipeline(self, pgconn: PGconn, transactions: Sequence[Transaction], *, durable: bool) -> list[Answer]:
        known = len(self._prepared)
        pgconn.enter_pipeline_mode()
        kept = self._send_durability(pgconn, durable=durable)
        syncs = len(kept)
        for statements in transactions:
            for statement, parameters in statements:
                kept += self._send(pgconn, statement, parameters)
            pgconn.pipeline_sync()
            syncs += 1
        answers, failure = self._receive(pgconn, kept, syncs)
        pgconn.exit_pipeline_mode()
        if failure is not None:
            # What was to be prepared after the failure was not: prepare it anew, under another name.
            self._prepared = dict(list(self._prepared.items())[:known])
            self._fail(pgconn, failure)
        return answers

    def _send_durability(self, pgconn: PGconn, *, durable: bool) -> list[bool]:
        """Switch waiting for the disk on or off, when it is not as wished."""
        if durable == self._is_durable or self._in_transaction:
            return []
        setting = b"RESET synchronous_commit" if durable else b"SET synchronous_commit = off"
        pgconn.send_query_params(setting, None)
        pgconn.pipeline_sync()
        self._is_durable = durable
        return [False]

    def _send(self, pgconn: PGconn, statement: str, parameters: Sequence[Any]) -> list[bool]:
        """Queue a statement, prepared when it is new; says which of the answers are to be kept."""
        kept = [True]
        name = self._prepared.get(statement)
        if name is None:
            name = self._prepared[statement] = b"c%d" % self._next_name
            self._next_name += 1
            pgconn.send_prepare(name, numbered(statement).encode())
            kept = [False, True]
        values = [_to_wire(value) for value in parameters]
        formats = [pq.Format.BINARY if isinstance(v, bytes) else pq.Format.TEXT for v in parameters]
        pgconn.send_query_prepared(name, values, formats, pq.Format.BINARY)
        return kept

    def _receive(self, pgconn: PGconn, kept: list[bool], syncs: int) -> tuple[list[Answer], PGresult | None]:
        """The answers that are kept, and the first failure, up to the last synchronisation point."""
        answers: list[Answer] = []
        failure: PGresult | None = None
        order = iter(kept)
        while syncs:
            result = self._next_result(pgconn)
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                syncs -= 1
                continue
            keep = next(order, False)
            if result.status in _OK:
                if keep:
                    answers.append(_answer(result))
            elif result.status != pq.ExecStatus.PIPELINE_ABORTED:
                failure = failure or result
                if pgconn.status == pq.ConnStatus.BAD:
                    self._fail(pgconn, failure)
        return answers, failure

    def copy_in(self, statement: str, data: bytes) -> None:
        """Run ``COPY … FROM STDIN`` with all its data."""
        with self._exchange() as pgconn:
            if not self._is_durable and not self._in_transaction:
                self._run_pipeline(pgconn, [], durable=True)
            pgconn.send_query_params(statement.encode(), None)
            for result in self._results(pgconn):
                if result.status == pq.ExecStatus.COPY_IN:
                    self._put(pgconn, data)
                elif result.status not in _OK:
                    self._fail(pgconn, result)

    def _put(self, pgconn: PGconn, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), 1 << 20):
            while not pgconn.put_copy_data(view[start : start + (1 << 20)]):
                self._await_socket(pgconn, writing=True)
            self._flush(pgconn)
        while not pgconn.put_copy_end():
            self._await_socket(pgconn, writing=True)

    def _results(self, pgconn: PGconn) -> Iterator[PGresult]:
        while (result := self._next_result(pgconn)) is not None:
            yield result

    def _next_result(self, pgconn: PGconn) -> PGresult | None:
        self._flush(pgconn)
        while pgconn.is_busy():
            self._await_socket(pgconn)
            pgconn.consume_input()
        self._take_notifications(pgconn)
        return pgconn.get_result()

    def _flush(self, pgconn: PGconn) -> None:
        while pgconn.flush():
            self._await_socket(pgconn, writing=True)
            # The server may be unable to read on before its answers are taken.
            pgconn.consume_input()

    def _fail(self, pgconn: PGconn, result: PGresult) -> None:
        """Raise what a failed statement means."""
        code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        text = f"PostgreSQL at {self.shown_url}: {result.get_error_message().strip()}"
        if pgconn.status == pq.ConnStatus.BAD or code.startswith(("08", "57P")):
            raise SessionLost(text)
        raise _Transient(text) if code in _TRANSIENT else OperationalError(text)

    @property
    def is_open(self) -> bool:
        return self._pgconn is not None

    # Notifications

    def take_news(self) -> bool:
        """Whether a notification has come since the last call."""
        pgconn = self._usable()
        with self._exchange():
            pgconn.consume_input()
            self._take_notifications(pgconn)
        found, self.has_news = self.has_news, False
        return found

    def _take_notifications(self, pgconn: PGconn) -> None:
        while (notification := pgconn.notifies()) is not None:
            self.has_news = True
            self.has_returned = self.has_returned or notification.extra == b"r"

    # The rest

    @contextmanager
    def _exchange(self) -> Iterator[PGconn]:
        """A usable connection and a deadline; one that breaks or is too late is closed."""
        pgconn = self._usable()
        try:
            with self.within(None if self._deadline is not None else self._timeout):
                yield pgconn
        except (StatementTimeout, SessionLost):
            self._abandon()
            raise
        except psycopg.Error as exc:
            self._abandon()
            raise SessionLost(f"the connection to PostgreSQL at {self.shown_url} broke: {exc}") from exc

    def _abandon(self) -> None:
        """Close a connection that is of no use any more."""
        self._is_broken = True
        Connection.close(self)

    def _usable(self) -> PGconn:
        if self._is_broken:
            raise SessionLost(f"the connection to PostgreSQL at {self.shown_url} broke before")
        if self._pgconn is None:
            raise SessionClosed(f"the connection to PostgreSQL at {self.shown_url} is closed")
        if self.pid != os.getpid():
            raise SessionLost(
                f"the connection to PostgreSQL at {self.shown_url} was opened before a fork, by process "
                f"{self.pid}; open one in this process"
            )
        return self._pgconn


#: Connections that a forked child inherited and may not close.
_inherited: list[PGconn] = []


class _Transient(OperationalError):
    """The statement may be run again as it is."""


def _to_wire(value: Any) -> bytes | None:
    """A parameter in text form, but for bytes."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return _array(value)
    return repr(value).encode()


def _array(values: list[int] | list[str]) -> bytes:
    return ("{" + ",".join(_element(value) for value in values) + "}").encode()


def _element(value: int | str) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _answer(result: PGresult) -> Answer:
    readers = [_READERS.get(result.ftype(column), bytes) for column in range(result.nfields)]
    get = result.get_value
    rows = []
    for row in range(result.ntuples):
        cells = [get(row, column) for column in range(len(readers))]
        rows.append(tuple(None if cell is None else read(cell) for read, cell in zip(readers, cells, strict=True)))
    return Answer(rows, result.command_tuples or 0)


def copy_data(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows in the binary form of COPY: str and bytes as they are, int as int4, float as float8."""
    pack = struct.pack
    parts = [b"PGCOPY\n\xff\r\n\0", pack("!ii", 0, 0)]
    for row in rows:
        parts.append(pack("!h", len(row)))
        for value in row:
            if value is None:
                parts.append(b"\xff\xff\xff\xff")
            elif isinstance(value, int):
                parts.append(pack("!ii", 4, value))
            elif isinstance(value, float):
                parts.append(pack("!id", 8, value))
            else:
                data = value.encode() if isinstance(value, str) else value
                parts.append(pack("!i", len(data)))
                parts.append(data)
    parts.append(pack("!h", -1))
    return b"".join(parts)


class DeadlineConnection(psycopg.Connection[Any]):
    """An ordinary psycopg connection, for SQLAlchemy, that gives up on a server which does not answer."""

    #: Seconds for a statement.
    deadline = 30.0

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Drive one of psycopg's generators until it ends.

        Raises:
            psycopg.OperationalError: No answer came in time; the connection is closed.
        """
        give_up_at = time.monotonic() + self.deadline
        poll = make_poll()
        descriptor = self.pgconn.socket
        try:
            wanted = next(gen)
            while True:
                poll.register(descriptor, _EVENTS[int(wanted)])
                remaining = max(0.0, give_up_at - time.monotonic())
                found = poll.poll(remaining * 1000)
                if not found:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.deadline:g} s")
                wanted = gen.send(_readiness(found[0][1]))
        except StopIteration as exc:
            return exc.value


_EVENTS = {1: select.POLLIN, 2: select.POLLOUT, 3: select.POLLIN | select.POLLOUT}


def _readiness(events: int) -> int:
    """What of reading (1) and writing (2) is possible; an error shows when reading."""
    return (2 if events & select.POLLOUT else 0) | (1 if events & ~select.POLLOUT else 0)
