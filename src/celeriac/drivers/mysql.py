"""A connection to MySQL or MariaDB on PyMySQL: deadlines, transactions, and our errors.

It knows no tables.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

try:
    import pymysql
    from pymysql.constants import CLIENT, ER
except ImportError as exc:
    from celeriac.exceptions import ImproperlyConfigured

    raise ImproperlyConfigured(
        "mysql:// and mariadb:// need the package pymysql: pip install 'celeriac[mysql]'"
    ) from exc

from celeriac.drivers.transactions import Transactional
from celeriac.exceptions import (
    ImproperlyConfigured,
    OperationalError,
    SessionClosed,
    SessionLost,
    SessionRefused,
)
from celeriac.utils.url import parse_url, redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")

_REFUSED: Final = frozenset({
    ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.BAD_DB_ERROR, ER.HOST_NOT_PRIVILEGED,
    ER.TABLEACCESS_DENIED_ERROR, 1698,
})  # fmt: skip
#: The statement may be run again as it is: deadlock, lock wait timeout.
_TRANSIENT: Final = frozenset({ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT})
#: The connection is gone; numbers of the client and of a server that ends a connection.
_LOST: Final = frozenset({0, 2006, 2013, 2014, 2055, 1053, 1927, 4031})
_ATTEMPTS: Final = 5

#: The first versions with SKIP LOCKED.
_OLDEST_MYSQL: Final = (8, 0, 1)
_OLDEST_MARIADB: Final = (10, 6, 0)

#: Parameters of a URL that are handed to the driver, and their types.
_PARAMETERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "unix_socket": str,
    "ssl_ca": str,
    "ssl_cert": str,
    "ssl_key": str,
    "ssl_verify_cert": lambda text: text.lower() in ("1", "true", "yes"),
    "ssl_verify_identity": lambda text: text.lower() in ("1", "true", "yes"),
}


class StatementTimeout(OperationalError, TimeoutError):
    """No answer came until the deadline; the connection is closed, because what it would say next is unknown."""


class Connection(Transactional):
    """A connection in autocommit mode. Used by one thread at a time.

    Args:
        url: ``mysql://user:password@host:port/database``, or ``mariadb://``.
        connect_timeout: Seconds to establish it.
        timeout: Seconds that the server may be silent, unless `within` says less.
        ssl: ``broker_use_ssl``: True, or PyMySQL's ``ssl_*`` arguments.

    Raises:
        ImproperlyConfigured: The URL has an unknown parameter or no database, or the server is too old.
        SessionRefused: Credentials or permissions are wrong, or there is no such database.
        OperationalError: The server cannot be reached in time.
    """

    def __init__(self, url: str, connect_timeout: float, timeout: float, ssl: bool | Mapping[str, Any] = False) -> None:
        self.pid = os.getpid()
        self.shown_url = redact(url)
        self._timeout = timeout
        self._deadline: float | None = None
        self._is_broken = False
        self._connection: Any = None
        with self.within(connect_timeout):
            self._connection = self._connect(_arguments(url, ssl), connect_timeout)
            try:
                self._check_version()
            except BaseException:
                self.close()
                raise

    def _connect(self, arguments: dict[str, Any], timeout: float) -> Any:
        try:
            return pymysql.connect(
                **arguments,
                autocommit=True,
                charset="utf8mb4",
                connect_timeout=max(1, round(timeout)),
                read_timeout=timeout,
                write_timeout=timeout,
                # An UPDATE counts the rows it found, even those that had the value already.
                client_flag=CLIENT.FOUND_ROWS,
                # UTC: in local time, an hour of every autumn comes twice.
                init_command="SET SESSION time_zone = '+00:00'",
            )
        except pymysql.err.MySQLError as exc:
            text = f"MySQL at {self.shown_url} cannot be connected to: {exc}"
            raise SessionRefused(text) if _code(exc) in _REFUSED else OperationalError(text) from exc

    def _check_version(self) -> None:
        self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        ((text, self.max_packet),) = self.run("SELECT VERSION(), @@max_allowed_packet")[0]
        version = tuple(int(part) for part in re.findall(r"\d+", text)[:3])
        oldest = _OLDEST_MARIADB if "mariadb" in text.lower() else _OLDEST_MYSQL
        if version < oldest:
            raise ImproperlyConfigured(
                f"the server at {self.shown_url} is version {text}, which has no SKIP LOCKED; "
                f"MySQL 8.0.1 or MariaDB 10.6 is needed"
            )

    def close(self) -> None:
        """Close; in a forked child, without a good-bye in the parent's name."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self.pid == os.getpid() and not self._is_broken:
                connection.close()
            else:
                connection._force_close()
        except pymysql.err.Error:
            return

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

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> tuple[list[Any], int, int]:
        """Run one statement; returns its rows, how many rows it touched, and the last id it gave."""

        def attempt(cursor: Any) -> tuple[list[Any], int, int]:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall()), cursor.rowcount, cursor.lastrowid or 0

        return self._attempt(attempt)

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement for each row, INSERTs in as few as possible; only in a transaction."""

        def attempt(cursor: Any) -> int:
            return int(cursor.executemany(statement, rows) or 0)

        return self._attempt(attempt)

    def _attempt(self, attempt: Callable[[Any], T]) -> T:
        """Run something that may be run again after a deadlock, unless a transaction is under way."""
        count = 1
        while True:
            connection = self._usable()
            self._set_timeouts(connection)
            try:
                with connection.cursor() as cursor:
                    return attempt(cursor)
            except (pymysql.err.Error, OSError) as exc:
                if _code(exc) in _TRANSIENT and not self._in_transaction and count < _ATTEMPTS:
                    count += 1
                    continue
                raise self._translated(exc) from exc

    def _set_timeouts(self, connection: Any) -> None:
        """The driver has timeouts for each read and write only, and applies those of the connection."""
        seconds = self._timeout
        if self._deadline is not None:
            seconds = self._deadline - time.monotonic()
            if seconds <= 0:
                raise StatementTimeout(f"MySQL at {self.shown_url} did not answer in time")
        connection._read_timeout = connection._write_timeout = seconds

    def _translated(self, exc: Exception) -> OperationalError:
        text = f"MySQL at {self.shown_url}: {exc}"
        code = _code(exc)
        if "timed out" in str(exc):
            self._abandon()
            return StatementTimeout(text)
        if code in _LOST or isinstance(exc, (OSError, pymysql.err.InterfaceError)):
            self._abandon()
            return SessionLost(text)
        return SessionRefused(text) if code in _REFUSED else OperationalError(text)

    def _abandon(self) -> None:
        """Close a connection that is of no use any more."""
        self._is_broken = True
        self.close()

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def _usable(self) -> Any:
        if self._is_broken:
            raise SessionLost(f"the connection to MySQL at {self.shown_url} broke before")
        if self._connection is None:
            raise SessionClosed(f"the connection to MySQL at {self.shown_url} is closed")
        if self.pid != os.getpid():
            raise SessionLost(
                f"the connection to MySQL at {self.shown_url} was opened before a fork, by process {self.pid}; "
                f"open one in this process"
            )
        return self._connection


def _arguments(url: str, ssl: bool | Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the driver."""
    parts = parse_url(url)
    if not parts.path:
        raise ImproperlyConfigured(f"{redact(url)!r} names no database: mysql://user:password@host/database")
    arguments: dict[str, Any] = {
        "host": parts.host or "localhost",
        "port": parts.port or 3306,
        "user": parts.username or "root",
        "password": parts.password or "",
        "database": parts.path,
    }
    for name, value in parts.query.items():
        if name not in _PARAMETERS:
            raise ImproperlyConfigured(
                f"{redact(url)!r} has the unknown parameter {name!r}; known are: {', '.join(_PARAMETERS)}"
            )
        arguments[name] = _PARAMETERS[name](value)
    if ssl is True:
        arguments.setdefault("ssl", {})
    elif ssl:
        arguments.update(ssl)
    return arguments


def _code(exc: Exception) -> int:
    """The number of an error; -1 if it has none."""
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else -1
