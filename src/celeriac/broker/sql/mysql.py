"""The MySQL and MariaDB broker: claims that skip locked rows.

The server cannot notify, so waiting sessions look again, at intervals that grow from 5 to 100 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.sql.schema import CONTENT, VERSION, Dialect, Statements, create_statements
from celeriac.broker.sql.session import SQLSession
from celeriac.broker.transport_options import refuse_unknown
from celeriac.drivers.mysql import Connection
from celeriac.drivers.wakeup import WakePipe
from celeriac.exceptions import ImproperlyConfigured, SessionLost
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from celeriac.broker.base import BrokerSession
    from celeriac.broker.sql.envelope import Row

#: Seconds between looks of a session that waits: from, growing by, up to.
FIRST_INTERVAL: Final = 0.005
GROWTH: Final = 1.25
LONGEST_INTERVAL: Final = 0.1

#: Seconds for a statement, where no deadline is given.
STATEMENT_TIMEOUT: Final = 30.0
#: The least of it, however short leases are.
MIN_TIMEOUT: Final = 1.0

#: What a row takes beside its body, generously.
_ROW_OVERHEAD: Final = 65536

_NOW: Final = "(UNIX_TIMESTAMP(NOW(6)) + 0e0)"

DIALECT: Final = Dialect(
    name="mysql",
    serial="BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
    name_type="VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    text="LONGTEXT CHARACTER SET utf8mb4",
    blob="LONGBLOB",
    real="DOUBLE",
    ids="id IN %s",
    now=_NOW,
    lease_now=_NOW,
    lapsed=f"lease_until <= {_NOW}",
    partial_indexes=False,
)
STATEMENTS: Final = Statements(DIALECT)

_PROBE: Final = (
    "EXISTS (SELECT 1 FROM celeriac_messages FORCE INDEX (celeriac_messages_waiting) "
    "WHERE queue = %s AND session IS NULL AND visible_at IS NULL)"
)
_CHOOSE: Final = (
    f"SELECT id, queue, deliveries, {CONTENT}, expires_at "  # noqa: S608 - constants
    "FROM celeriac_messages FORCE INDEX (celeriac_messages_waiting) "
    "WHERE queue = %s AND session IS NULL AND visible_at IS NULL "
    "ORDER BY precedence, id LIMIT %s FOR UPDATE SKIP LOCKED"
)
_MARK: Final = "UPDATE celeriac_messages SET session = %s WHERE id IN %s"
_PROMOTE: Final = (
    f"UPDATE celeriac_messages SET visible_at = NULL WHERE queue = %s AND visible_at <= {_NOW} "  # noqa: S608
    "ORDER BY visible_at LIMIT 1000"
)
_EXISTS: Final = (
    "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'celeriac_meta'"
)
_INDEXES: Final = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_schema = DATABASE()"


class MySQLBroker:
    """Messages in MySQL 8 or MariaDB 10.6, or newer: ``mysql://user:password@host:port/database``.

    The tables are created on first use.

    Args:
        url: The URL; ``mariadb://`` is the same. Parameters: ``unix_socket`` and PyMySQL's ``ssl_*``.
        options: Settings common to all drivers.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self._url = url
        self.url = redact(url)
        self.options = options or BrokerOptions()
        refuse_unknown(self.options.transport_options, (), "MySQL")
        self.capabilities = BrokerCapabilities("mysql", fanout=True, resumable=True, once=True)

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> SQLSession:
        """Open a session.

        Args:
            resume: See `Broker.connect`.
            timeout: Seconds for everything it takes; None is ``BrokerOptions.connect_timeout``.

        Raises:
            SessionRefused: Credentials or permissions are wrong, or there is no such database.
            OperationalError: The server cannot be reached in time.
            ImproperlyConfigured: The server is too old, or the tables were made by a newer version.
        """
        seconds = self.options.connect_timeout if timeout is None else timeout
        session = SQLSession(MySQLStore(self._url, seconds, self.options), self.options)
        if isinstance(resume, SQLSession):
            session.take_over(resume)
        return session


class MySQLStore(Connection):
    """One connection to the broker's tables.

    Args:
        url: URL of the database.
        connect_timeout: Seconds for connecting and finding the tables.
        options: Settings common to all drivers.
    """

    dialect = DIALECT
    statements = STATEMENTS
    tells = has_heard = False

    def __init__(self, url: str, connect_timeout: float, options: BrokerOptions) -> None:
        self._interval = FIRST_INTERVAL
        timeout = min(STATEMENT_TIMEOUT, max(options.lease, MIN_TIMEOUT))
        super().__init__(url, connect_timeout, timeout, options.use_ssl)
        self._pipe = WakePipe()
        try:
            with self.within(connect_timeout):
                ensure_schema(self)
        except BaseException:
            self.close()
            raise

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self.run(statement, parameters)[0]

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, durable: bool = True) -> int:
        # A commit is as durable as innodb_flush_log_at_trx_commit makes all of them.
        return self.run(statement, parameters)[1]

    def insert(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return self.run(statement, parameters)[2]

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        return self.run_many(statement, rows)

    def ids_parameter(self, ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(ids)

    def add_messages(self, rows: Sequence[Row], *, durable: bool = True) -> None:
        for row in rows:
            if len(row[-1]) + _ROW_OVERHEAD > self.max_packet:
                raise ImproperlyConfigured(
                    f"the message body has {len(row[-1]):,} bytes, and max_allowed_packet of the server at "
                    f"{self.shown_url} is {self.max_packet:,}: raise it, or pass a reference to the data"
                )
        if len(rows) == 1:
            self.run(self.statements.insert_message, rows[0])
        else:
            with self.transaction():
                self.run_many(self.statements.insert_message, rows)

    def claim(self, session: int, queues: Sequence[str], limit: int) -> list[Row]:
        # Looking takes no locks: idle sessions do not disturb those that write.
        (found,) = self.query(f"SELECT {', '.join([_PROBE] * len(queues))}", queues)
        waiting = [queue for queue, exists in zip(queues, found, strict=True) if exists]
        if not waiting:
            return []
        self._interval = FIRST_INTERVAL
        claimed: list[Row] = []
        with self.transaction():
            if not self.query(self.statements.alive, (session,)):
                raise SessionLost("the lease of the session ran out; what it held belongs to others now")
            for queue in waiting:
                claimed += self.query(_CHOOSE, (queue, limit - len(claimed)))
                if len(claimed) >= limit:
                    break
            if claimed:
                self.run(_MARK, (session, self.ids_parameter([row[0] for row in claimed])))
        return claimed

    def promote(self, queue: str) -> int:
        return self.execute(_PROMOTE, (queue,))

    def listen(self, queues: Sequence[str]) -> None:
        """Nothing has to be told: `wait` ends soon by itself."""

    def announce(self, queues: Iterable[str]) -> None:
        """Nobody can be told: whoever waits looks soon."""

    def wait(self, seconds: float) -> bool:
        woken = self._pipe.wait(min(seconds, self._interval))
        self._interval = min(self._interval * GROWTH, LONGEST_INTERVAL)
        return woken

    def wake(self) -> None:
        self._pipe.wake()

    def close(self) -> None:
        super().close()
        self._pipe.close()


def ensure_schema(store: MySQLStore) -> None:
    """Create what is missing.

    Raises:
        ImproperlyConfigured: A newer version has changed the tables.
    """
    found = store.query(STATEMENTS.version) if store.query(_EXISTS) else []
    if not found:
        _create(store)
        found = store.query(STATEMENTS.version)
    if int(found[0][0]) != VERSION:
        raise ImproperlyConfigured(
            f"the tables at {store.shown_url} are of version {found[0][0]}, and this release of Celeriac works "
            f"with version {VERSION}: use the same release everywhere, or another database"
        )


def _create(store: MySQLStore) -> None:
    # Tables are created outside of transactions here; the lock keeps other processes out meanwhile.
    store.query("SELECT GET_LOCK(CONCAT('celeriac.', DATABASE()), 10)")
    try:
        if store.query(_EXISTS) and store.query(STATEMENTS.version):
            return
        present = {name for (name,) in store.query(_INDEXES)}
        for statement in create_statements(DIALECT):
            # MySQL has no IF NOT EXISTS for indexes, MariaDB has.
            words = statement.split()
            if words[1] != "INDEX":
                store.run(statement)
            elif words[5] not in present:
                store.run(statement.replace("INDEX IF NOT EXISTS", "INDEX"))
        store.run(STATEMENTS.set_version, (str(VERSION),))
    finally:
        store.query("SELECT RELEASE_LOCK(CONCAT('celeriac.', DATABASE()))")
