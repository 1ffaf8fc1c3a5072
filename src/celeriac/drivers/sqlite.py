"""SQLite databases as broker and result backend use them: where they are, how they are opened and locked.

It knows no tables.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionClosed, SessionLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")

DEFAULT_APP_NAME = "default"

#: Pauses between attempts at a locked database, in seconds. A writer holds the lock for some 50 µs, or for
#: milliseconds with a large batch; SQLite's own busy handler begins with 1 ms and goes up to 100 ms.
_FIRST_PAUSE = 0.00005
_LONGEST_PAUSE = 0.005

#: Connections that a forked child inherited. Closing them there could remove the parent's locks, so that they
#: are kept open, unused, until the child ends.
_inherited: list[sqlite3.Connection] = []
_open: set[sqlite3.Connection] = set()


def _after_fork() -> None:
    _inherited.extend(_open)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class DatabaseLocked(OperationalError, TimeoutError):
    """The database was locked by others until the deadline."""


def default_path(app_name: str = DEFAULT_APP_NAME) -> Path:
    """The database of an application: the same from every working directory of one user.

    Args:
        app_name: Name of the application; what cannot be part of a file name becomes ``_``.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", app_name).lstrip(".") or DEFAULT_APP_NAME
    return _state_directory() / "celeriac" / f"{name}.sqlite3"


def _state_directory() -> Path:
    given = os.environ.get("XDG_STATE_HOME", "")
    if given and Path(given).is_absolute():
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path.home() / ".local" / "state"


def database_path(url: str, app_name: str = DEFAULT_APP_NAME) -> Path:
    """The file that a URL names.

    >>> database_path("sqlite:////var/lib/tasks.db")
    PosixPath('/var/lib/tasks.db')
    >>> database_path("sqlite:///tasks.db") == Path.cwd() / "tasks.db"
    True

    Args:
        url: ``sqlite://`` is the application's own; ``sqlite:///relative``; ``sqlite:////absolute``.
        app_name: Name of the application.

    Raises:
        ImproperlyConfigured: It names no file.
    """
    rest = url.partition("://")[2].partition("?")[0]
    if rest in ("", "/"):
        return default_path(app_name)
    if rest.strip("/").startswith(":memory:"):
        raise ImproperlyConfigured(
            f"{url!r} is a database within one connection, which no worker could see; "
            f"use memory:// for messages within one process, or sqlite:///path for a file"
        )
    if not rest.startswith("/"):
        raise ImproperlyConfigured(
            f"{url!r} has the host {rest.partition('/')[0]!r}; a file is sqlite:///relative or sqlite:////absolute"
        )
    return Path.cwd() / rest[1:]


class Database:
    """One connection to a database file, in autocommit mode. Used by one thread at a time.

    Args:
        path: The file; it and its directory are made if missing, readable by this user only.
        timeout: Seconds that a statement may wait for a lock, unless `within` says otherwise.

    Raises:
        OperationalError: The file cannot be opened.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self.pid = os.getpid()
        self._timeout = timeout
        self._deadline: float | None = None
        self._connection: sqlite3.Connection | None = None
        with self.translated():
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = self._connect()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        _open.add(connection)
        connection.create_function("celeriac_now", 0, time.time)
        connection.create_function("celeriac_monotonic", 0, time.monotonic)
        mode = self._patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        if mode != "wal":
            raise ImproperlyConfigured(
                f"SQLite database {self.path} is on a file system without shared memory (journal mode "
                f"{mode!r}); several processes cannot use it there: put it on a local disk"
            )
        # A commit survives the death of the process; the last few may be lost with the machine's power.
        connection.execute("PRAGMA synchronous = NORMAL")
        # 16 MB: pages that change again and again, as those of queues do, are copied back less often.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -16384")
        connection.execute("PRAGMA mmap_size = 268435456")
        return connection

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """Give everything in the block one deadline."""
        if seconds is None:
            yield
            return
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement."""
        with self.translated():
            connection = self._usable()
            return self._patiently(lambda: connection.execute(statement, parameters).fetchall())

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; returns how many rows it changed."""
        with self.translated():
            connection = self._usable()
            return self._patiently(lambda: connection.execute(statement, parameters).rowcount)

    def insert(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Insert one row; returns its id."""
        with self.translated():
            connection = self._usable()
            return self._patiently(lambda: connection.execute(statement, parameters).lastrowid or 0)

    def execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each row; only in a transaction, so that all or none take effect."""
        with self.translated():
            return self._usable().executemany(statement, rows).rowcount

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make one transaction of the block, with the write lock from its beginning."""
        with self.translated():
            connection = self._usable()
            self._patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close; in a forked child, leave the parent's connection alone."""
        connection, self._connection = self._connection, None
        if connection is not None and self.pid == os.getpid():
            _open.discard(connection)
            connection.close()

    def __del__(self) -> None:
        if getattr(self, "_connection", None) is not None:
            self.close()

    def _usable(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SessionClosed(f"the connection to SQLite database {self.path} is closed")
        if self.pid != os.getpid():
            raise SessionLost(
                f"the connection to SQLite database {self.path} was opened before a fork, by process "
                f"{self.pid}; open one in this process"
            )
        return self._connection

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Repeat while others hold the lock, until the deadline."""
        try:
            return attempt()
        except sqlite3.OperationalError as exc:
            if not _is_locked(exc):
                raise
        # Half a megabyte that a process needs only when others are in its way.
        from random import uniform

        deadline = self._deadline or time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while True:
            time.sleep(pause * uniform(0.5, 1.0))
            try:
                return attempt()
            except sqlite3.OperationalError as exc:
                if not _is_locked(exc):
                    raise
                if time.monotonic() >= deadline:
                    raise DatabaseLocked(f"SQLite database {self.path} is locked by another process") from exc
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except OperationalError:
            # One of ours from an inner block; DatabaseLocked is an OSError as well.
            raise
        except (sqlite3.Error, OSError) as exc:
            raise OperationalError(f"SQLite database {self.path}: {exc}") from exc


def _is_locked(exc: sqlite3.OperationalError) -> bool:
    return exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
