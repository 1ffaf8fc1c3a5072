"""The schedule store in a MySQL or MariaDB database."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.store.sql import SQLStore
from celeriac.drivers.mysql import Connection
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

#: Seconds that a scheduler may be idle between two looks at the store, generously.
_IDLE: Final = 5

_TYPES = {
    # Two names make a key of at most 3072 bytes.
    "name": "VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL",
    "text": "LONGTEXT CHARACTER SET utf8mb4",
    "real": "DOUBLE",
}


class MySQLStore(SQLStore):
    """A database: ``mysql://user:password@host:port/database``.

    Args:
        url: The URL; ``mariadb://`` is the same.
        scope: The application.
        timeout: Seconds to connect, and for a statement.
    """

    def __init__(self, url: str, scope: str, timeout: float) -> None:
        super().__init__(redact(url), scope, lambda: MySQLSession(url, timeout), _TYPES)


class MySQLSession:
    """One connection.

    Args:
        url: URL of the database.
        timeout: Seconds to connect, and for a statement.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._connection = Connection(url, timeout, timeout)
        # A process that stands still within a transaction must not keep others from leading.
        self.execute(f"SET SESSION wait_timeout = {math.ceil(timeout) + _IDLE}")

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.run(statement, parameters)[0]

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self._connection.run(statement, parameters)[1]

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.run_many(statement, rows)

    def transaction(self) -> AbstractContextManager[None]:
        return self._connection.transaction()

    def now(self) -> float:
        return float(self.query("SELECT UNIX_TIMESTAMP(NOW(6))")[0][0])

    def close(self) -> None:
        self._connection.close()
