"""The schedule store in an SQLite file: the default, for the schedulers of one host.

A file that is damaged is put aside and made anew: a scheduler that has forgotten when it ran last is worth more than
one that does not start.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celeriac.beat.celery_file import is_celery_file, renamed
from celeriac.beat.store.sql import Session, SQLStore, T
from celeriac.drivers.sqlite import Database, database_path
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

logger = logging.getLogger("celeriac.beat")

_TYPES = {"name": "TEXT NOT NULL", "text": "TEXT", "real": "REAL"}
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class SQLiteStore(SQLStore):
    """A file: ``sqlite:///relative``, ``sqlite:////absolute``.

    Args:
        url: The URL.
        scope: The application.
        timeout: Seconds that an operation may wait for the lock of the file.
    """

    clock_restarts = True

    def __init__(self, url: str, scope: str, timeout: float) -> None:
        self.path = database_path(url, scope)
        super().__init__(f"sqlite:///{self.path}", scope, lambda: SQLiteSession(self.path, timeout), _TYPES, lock="")

    def _run(self, operation: Callable[[Session], T]) -> T:
        inode = self._inode()
        try:
            return super()._run(operation)
        except OperationalError as exc:
            if not _is_damage(exc):
                raise
            # Another scheduler may have put it aside already.
            if self._inode() == inode:
                self._put_aside(exc)
            return super()._run(operation)

    def _inode(self) -> int | None:
        try:
            return self.path.stat().st_ino
        except OSError:
            return None

    def _open(self) -> Session:
        if is_celery_file(self.path):
            aside = renamed(self.path, self.path, "celery")
            logger.warning(
                "The schedule file %s was written by Celery's beat. It is kept as %s", self.path, aside
            )  # fmt: skip
        return super()._open()

    def _put_aside(self, exc: Exception) -> None:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}")
        logger.error(
            "Removing corrupted schedule file %s: %s. It is kept as %s; when entries ran last is forgotten, and so "
            "are entries added with `celeriac schedule add`",
            self.path, exc, aside,
        )  # fmt: skip
        self.path.rename(aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)


class SQLiteSession:
    """One connection to the file.

    Args:
        path: The file.
        timeout: Seconds that a statement may wait for its lock.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._database = Database(path, timeout)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._database.query(statement.replace("%s", "?"), parameters)

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self._database.execute(statement.replace("%s", "?"), parameters)

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._database.execute_many(statement.replace("%s", "?"), rows)

    def transaction(self) -> AbstractContextManager[None]:
        return self._database.transaction()

    def now(self) -> float:
        # One host, and with it a clock that nobody can set.
        return time.monotonic()

    def close(self) -> None:
        self._database.close()


def _is_damage(exc: BaseException) -> bool:
    return getattr(exc.__cause__, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
