"""The SQLite broker: the default with nothing configured, for the processes of one host.

Waiting sessions are told of messages by datagrams; the database file is all that survives.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.sql.schema import CONTENT, VERSION, Dialect, Statements, create_statements
from celeriac.broker.sql.session import SQLSession
from celeriac.broker.transport_options import refuse_unknown
from celeriac.drivers.datagrams import Announcer, Listener, mask_of, news_directory
from celeriac.drivers.sqlite import DEFAULT_APP_NAME, Database, database_path
from celeriac.exceptions import ImproperlyConfigured, SessionLost

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from celeriac.broker.base import BrokerSession
    from celeriac.broker.sql.envelope import Row

#: Topic of news about messages; news about results has another one, so that it wakes no worker.
TOPIC: Final = "m"

#: Seconds between looks while waiting: with news, in case some was lost; without, as the only means.
SAFETY_INTERVAL: Final = 0.5
POLL_INTERVAL: Final = 0.02

DIALECT: Final = Dialect(
    name="sqlite",
    # AUTOINCREMENT: an id is never used twice, so that settling twice cannot hit another message.
    serial="INTEGER PRIMARY KEY AUTOINCREMENT",
    name_type="TEXT",
    text="TEXT",
    blob="BLOB",
    real="REAL",
    ids="id IN (SELECT value FROM json_each(%s))",
    # In a subquery, the function is called once for a statement, not for every row.
    now="(SELECT celeriac_now())",
    # The processes share one host, and with it a clock that nobody can set. It begins anew with the host: a
    # lease that has longer to run than it was given is from before.
    lease_now="(SELECT celeriac_monotonic())",
    lapsed=("lease_until <= (SELECT celeriac_monotonic()) OR lease_until > (SELECT celeriac_monotonic()) + lease + 1"),
    parameter="?",
)
STATEMENTS: Final = Statements(DIALECT)

_PROBE: Final = "SELECT 1 FROM celeriac_messages WHERE queue = ? AND session IS NULL AND visible_at IS NULL LIMIT 1"
_CHOOSE: Final = (
    f"SELECT id, queue, deliveries, {CONTENT}, expires_at FROM celeriac_messages "  # noqa: S608 - constants
    "WHERE queue = ? AND session IS NULL AND visible_at IS NULL ORDER BY precedence, id LIMIT ?"
)
_MARK: Final = "UPDATE celeriac_messages SET session = ? WHERE id IN (SELECT value FROM json_each(?))"
_PROMOTE: Final = (
    "UPDATE celeriac_messages SET visible_at = NULL WHERE id IN (SELECT id FROM celeriac_messages "
    "WHERE queue = ? AND visible_at <= (SELECT celeriac_now()) ORDER BY visible_at LIMIT 1000)"
)


class SQLiteBroker:
    """Messages in a file: ``sqlite://`` (the app's own), ``sqlite:///relative``, ``sqlite:////absolute``.

    Any number of processes of one host share it. A commit survives the death of every process; only a crash
    of the machine itself can take the last moments with it.

    Args:
        url: The URL.
        options: Settings common to all drivers; ``app_name`` names the file of
        ``sqlite://``.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self.options = options or BrokerOptions()
        refuse_unknown(self.options.transport_options, (), "SQLite")
        app_name = self.options.app_name or DEFAULT_APP_NAME
        self.path: Path = database_path(url, app_name)
        self.url = f"sqlite:///{self.path}"
        self.capabilities = BrokerCapabilities("sqlite", fanout=True, resumable=True, once=True)

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> SQLSession:
        """Open a session.

        Args:
            resume: See `Broker.connect`.
            timeout: Seconds to wait for the lock of the database; None is ``BrokerOptions.connect_timeout``.

        Raises:
            OperationalError: The file cannot be opened or is locked for too long.
            ImproperlyConfigured: It was written by a newer version, or is where processes cannot share it.
        """
        seconds = self.options.connect_timeout if timeout is None else timeout
        session = SQLSession(SQLiteStore(self.path, seconds, self.options.publish_timeout), self.options)
        if isinstance(resume, SQLSession):
            session.take_over(resume)
        return session


class SQLiteStore(Database):
    """One connection to the broker's tables.

    Args:
        path: The file.
        connect_timeout: Seconds that opening may wait for a lock.
        timeout: Seconds that a statement may wait for a lock.
    """

    dialect = DIALECT
    #: News may be about other queues, and there may be none.
    tells = has_heard = False
    statements = STATEMENTS

    def __init__(self, path: Path, connect_timeout: float, timeout: float) -> None:
        super().__init__(path, connect_timeout)
        ensure_schema(self)
        self._timeout = timeout
        self._directory = news_directory(path)
        self._announcer = Announcer(self._directory)
        self._listener = Listener(None, TOPIC)

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, durable: bool = True) -> int:
        # A commit is as durable as `synchronous` makes all of them.
        return super().execute(statement, parameters)

    def ids_parameter(self, ids: Sequence[int]) -> str:
        return json.dumps(ids)

    def add_messages(self, rows: Sequence[Row], *, durable: bool = True) -> None:
        if len(rows) == 1:
            super().execute(self.statements.insert_message, rows[0])
        else:
            with self.transaction():
                self.execute_many(self.statements.insert_message, rows)
        self.announce({row[0] for row in rows})

    def claim(self, session: int, queues: Sequence[str], limit: int) -> list[Row]:
        # Reading takes no lock: idle sessions look without disturbing those that write.
        waiting = [queue for queue in queues if self.query(_PROBE, (queue,))]
        if not waiting:
            return []
        found: list[Row] = []
        with self.transaction():
            if not self.query(self.statements.alive, (session,)):
                raise SessionLost("the lease of the session ran out; what it held belongs to others now")
            for queue in waiting:
                found += self.query(_CHOOSE, (queue, limit - len(found)))
                if len(found) >= limit:
                    break
            self.execute(_MARK, (session, self.ids_parameter([row[0] for row in found])))
        return found

    def promote(self, queue: str) -> int:
        return self.execute(_PROMOTE, (queue,))

    def listen(self, queues: Sequence[str]) -> None:
        previous = self._listener
        self._listener = Listener(self._directory, TOPIC, mask_of(*queues))
        if previous.woken:
            self._listener.wake()
        previous.close()

    def announce(self, queues: Iterable[str]) -> None:
        self._announcer.announce(TOPIC, mask_of(*queues))

    def wait(self, seconds: float) -> bool:
        interval = POLL_INTERVAL if self._directory is None else SAFETY_INTERVAL
        return self._listener.wait(min(seconds, interval))

    def wake(self) -> None:
        self._listener.wake()

    def close(self) -> None:
        self._listener.close()
        self._announcer.close()
        super().close()


def ensure_schema(database: Database) -> None:
    """Create what is missing.

    Raises:
        ImproperlyConfigured: A newer version has changed the tables.
    """
    exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'celeriac_meta'"
    found = database.query(STATEMENTS.version) if database.query(exists) else []
    if not found:
        with database.transaction():
            for statement in create_statements(DIALECT):
                database.execute(statement)
            found = database.query(STATEMENTS.version)
            if not found:
                found = [(str(VERSION),)]
                database.execute(STATEMENTS.set_version, found[0])
    if int(found[0][0]) != VERSION:
        raise ImproperlyConfigured(
            f"SQLite database {database.path} has tables of version {found[0][0]}, and this release of "
            f"Celeriac works with version {VERSION}: use the same release everywhere, or another file"
        )
