"""The schedule store in a PostgreSQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.beat.store.sql import SQLStore
from celeriac.drivers.postgresql import Connection
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

_TYPES = {"name": "TEXT NOT NULL", "text": "TEXT", "real": "DOUBLE PRECISION"}


class PostgreSQLStore(SQLStore):
    """A database: ``postgresql://user:password@host:port/database``.

    Args:
        url: The URL.
        scope: The application.
        timeout: Seconds to connect, and for a statement.
    """

    def __init__(self, url: str, scope: str, timeout: float) -> None:
        super().__init__(redact(url), scope, lambda: PostgreSQLSession(url, timeout), _TYPES)


class PostgreSQLSession:
    """One connection.

    Args:
        url: URL of the database.
        timeout: Seconds to connect, and for a statement.
    """

    def __init__(self, url: str, timeout: float) -> None:
        self._connection = Connection(url, timeout, timeout)
        # A process that stands still within a transaction must not keep others from leading.
        self.execute(f"SET idle_in_transaction_session_timeout = {max(1000, round(timeout * 1000))}")

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.run(statement, parameters).rows

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self._connection.run(statement, parameters).touched

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.run_pipeline([[(statement, row) for row in rows]])

    def transaction(self) -> AbstractContextManager[None]:
        return self._connection.transaction()

    def now(self) -> float:
        return float(self.query("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)")[0][0])

    def close(self) -> None:
        self._connection.close()
