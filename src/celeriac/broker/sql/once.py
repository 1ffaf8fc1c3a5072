"""Messages that are taken once, in SQL: a row for each series, written in the transaction that inserts the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.broker.once import is_new

if TYPE_CHECKING:
    from celeriac.broker.sql.envelope import Row
    from celeriac.broker.sql.store import Store
    from celeriac.message import Once

__all__ = ["OncePublisher"]

#: Made when it is first needed: few brokers need it, and those of older releases have none.
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS celeriac_taken (scope {name} NOT NULL, series {name} NOT NULL, "
    "token BIGINT NOT NULL, place {name} NOT NULL, taken_at {real} NOT NULL, PRIMARY KEY (scope, series))"
)
#: Seconds for which a series is remembered after its last message.
_KEPT: Final = 30 * 86400
#: Milliseconds after which a transaction in which nothing happens is given up.
_STANDSTILL_MS: Final = 2000


class OncePublisher:
    """Inserts such messages.

    Args:
        store: The connection.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        dialect = store.dialect

        def text(statement: str) -> str:
            return statement.replace("%s", dialect.parameter)

        lock = "" if dialect.name == "sqlite" else " FOR UPDATE"
        self._find = text(f"SELECT token, place FROM celeriac_taken WHERE scope = %s AND series = %s{lock}")  # noqa: S608
        self._insert = text(f"INSERT INTO celeriac_taken VALUES (%s, %s, %s, %s, {dialect.now})")  # noqa: S608
        self._update = text(
            f"UPDATE celeriac_taken SET token = %s, place = %s, taken_at = {dialect.now} "  # noqa: S608
            "WHERE scope = %s AND series = %s"
        )
        if dialect.name == "postgresql":
            # A process that stands still within the transaction must not keep others from publishing.
            store.execute(f"SET idle_in_transaction_session_timeout = {_STANDSTILL_MS}")
        create = _CREATE.format(name=dialect.name_type, real=dialect.real)
        store.execute(create)
        store.execute(f"DELETE FROM celeriac_taken WHERE taken_at < {dialect.now} - {_KEPT}")  # noqa: S608

    def publish(self, once: Once, rows: list[Row]) -> None:
        """Insert a message, unless it was taken before.

        Args:
            once: Which one it is.
            rows: Its row for each queue.

        Raises:
            Superseded: It bears an old token.
            OperationalError: Somebody else publishes it at this moment, or the database cannot be reached.
        """
        store = self._store
        with store.transaction():
            found = store.query(self._find, (once.scope, once.series))
            if found and not is_new(once, int(found[0][0]), found[0][1]):
                return
            if found:
                store.execute(self._update, (once.token, once.place, once.scope, once.series))
            else:
                store.execute(self._insert, (once.scope, once.series, once.token, once.place))
            for row in rows:
                store.execute(store.statements.insert_message, row)
        store.announce({row[0] for row in rows})
