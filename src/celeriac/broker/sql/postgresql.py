"""The PostgreSQL broker: claims that skip locked rows, waiting by LISTEN."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from celeriac.broker.base import BrokerCapabilities, BrokerOptions
from celeriac.broker.sql.schema import CONTENT, VERSION, Dialect, Statements, create_statements
from celeriac.broker.sql.session import SQLSession
from celeriac.broker.transport_options import refuse_unknown
from celeriac.drivers.datagrams import hash_of
from celeriac.drivers.postgresql import Connection, copy_data
from celeriac.drivers.wakeup import WakePipe
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from celeriac.broker.base import BrokerSession
    from celeriac.broker.sql.envelope import Row

#: Seconds between looks while waiting, in case a notification was lost; and at most, where leases are long because
#: nobody is in a hurry.
SAFETY_INTERVAL: Final = 1.0
LONGEST_SAFETY_INTERVAL: Final = 4.0
#: Part of a lease that it is.
_SAFETY_SHARE: Final = 1 / 30

#: Seconds for a statement, where no deadline is given; deleting a long queue takes its time.
STATEMENT_TIMEOUT: Final = 30.0
#: The least of it, however short leases are.
MIN_TIMEOUT: Final = 1.0

#: Rows from which COPY is faster than a pipeline of INSERTs.
COPY_FROM: Final = 20

#: Any number, the same in every process: only one creates the tables.
_CREATION_LOCK: Final = 5_239_178_241

_NOW: Final = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS double precision)"

DIALECT: Final = Dialect(
    name="postgresql",
    serial="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    name_type="TEXT",
    text="TEXT",
    blob="BYTEA",
    real="DOUBLE PRECISION",
    ids="id = ANY(%s)",
    # In a subquery, so that it is read once for a statement, and an index on the other side can be used.
    now=f"(SELECT {_NOW})",
    lease_now=f"(SELECT {_NOW})",
    lapsed=f"lease_until <= (SELECT {_NOW})",
)
STATEMENTS: Final = Statements(DIALECT)

_WITH_MESSAGES: Final = (
    "SELECT name FROM unnest(CAST(%s AS text[])) WITH ORDINALITY AS q (name, place) WHERE EXISTS "
    "(SELECT 1 FROM celeriac_messages WHERE queue = name AND session IS NULL AND visible_at IS NULL) "
    "ORDER BY place"
)
# The chosen ids go into an array: a join might be planned as a scan of the whole table.
_CLAIM: Final = (
    "UPDATE celeriac_messages SET session = CAST(%s AS bigint) "  # noqa: S608 - constants
    "WHERE EXISTS (SELECT 1 FROM celeriac_sessions s WHERE s.id = CAST(%s AS bigint) "
    f"AND s.lease_until > (SELECT {_NOW})) AND id = ANY (ARRAY ("
    "SELECT id FROM celeriac_messages WHERE queue = %s AND session IS NULL AND visible_at IS NULL "
    "ORDER BY precedence, id LIMIT %s FOR UPDATE SKIP LOCKED)) "
    f"RETURNING id, queue, deliveries, {CONTENT}, expires_at, precedence"
)
# The same, but for rows behind a place. The index keeps entries of rows that are gone until the next vacuum, and a
# claim from the front would step over all of them.
_CLAIM_BEHIND: Final = (
    "UPDATE celeriac_messages SET session = CAST(%s AS bigint) "  # noqa: S608 - constants
    "WHERE EXISTS (SELECT 1 FROM celeriac_sessions s WHERE s.id = CAST(%s AS bigint) "
    f"AND s.lease_until > (SELECT {_NOW})) AND id = ANY (ARRAY (SELECT id FROM ("
    "SELECT id FROM (SELECT id FROM celeriac_messages WHERE queue = %s AND session IS NULL "
    "AND visible_at IS NULL AND precedence < %s ORDER BY precedence, id LIMIT %s FOR UPDATE SKIP LOCKED) a "
    "UNION ALL "
    "SELECT id FROM (SELECT id FROM celeriac_messages WHERE queue = %s AND session IS NULL "
    "AND visible_at IS NULL AND (precedence, id) > (%s, %s) ORDER BY precedence, id LIMIT %s "
    "FOR UPDATE SKIP LOCKED) b) u LIMIT %s)) "
    f"RETURNING id, queue, deliveries, {CONTENT}, expires_at, precedence"
)
_PROMOTE: Final = (
    "UPDATE celeriac_messages SET visible_at = NULL WHERE id = ANY (ARRAY ("  # noqa: S608 - constants
    "SELECT id FROM celeriac_messages WHERE queue = %s "
    f"AND visible_at <= (SELECT {_NOW}) ORDER BY visible_at LIMIT 1000 FOR UPDATE SKIP LOCKED))"
)
_NOTIFY: Final = "SELECT pg_notify(channel, '') FROM unnest(CAST(%s AS text[])) AS c (channel)"
#: With the payload of news that there are messages in front of where claims may have come to.
_NOTIFY_RETURNED: Final = "SELECT pg_notify(channel, 'r') FROM unnest(CAST(%s AS text[])) AS c (channel)"

#: Seconds between claims from the very front, where messages show up whose publisher was slow to commit; and how
#: many times what such a claim takes must lie between two.
FRONT_INTERVAL: Final = 0.25
FRONT_RATIO: Final = 20
_COPY: Final = (
    f"COPY celeriac_messages (queue, precedence, visible_at, expires_at, {CONTENT}) FROM STDIN (FORMAT binary)"
)
_SETTINGS: Final = (
    # A plan made while the table was short must not scan it once it is long: every statement here has its index.
    "SET enable_seqscan = off",
    "SET enable_sort = off",
    "SET jit = off",
)
_STORAGE: Final = (
    "ALTER TABLE celeriac_messages SET (autovacuum_vacuum_scale_factor = 0.02, "
    "autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.05)"
)


class PostgreSQLBroker:
    """Messages in a PostgreSQL database: ``postgresql://user:password@host:port/database``.

    The tables are created on first use, in the first schema of the search path.  Publishing waits until the
    commit is on disk.  Claims and acknowledgements do not: should the server crash in the following fraction of a
    second, such a message is delivered once more.

    Args:
        url: The URL, with any connection parameter of libpq (``?sslmode=verify-full``).
        options: Settings common to all drivers.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        self.options = options or BrokerOptions()
        refuse_unknown(self.options.transport_options, (), "PostgreSQL")
        self._url = _with_ssl(url, self.options.use_ssl)
        self.url = redact(url)
        self.capabilities = BrokerCapabilities("postgresql", fanout=True, resumable=True, once=True)

    def connect(self, *, timeout: float | None = None, resume: BrokerSession | None = None) -> SQLSession:
        """Open a session.

        Args:
            resume: See `Broker.connect`.
            timeout: Seconds for everything it takes; None is ``BrokerOptions.connect_timeout``.

        Raises:
            SessionRefused: Credentials or permissions are wrong, or there is no such database.
            OperationalError: The server cannot be reached in time.
            ImproperlyConfigured: The tables were made by a newer version.
        """
        seconds = self.options.connect_timeout if timeout is None else timeout
        session = SQLSession(PostgreSQLStore(self._url, seconds, self.options), self.options)
        if isinstance(resume, SQLSession):
            session.take_over(resume)
        return session


class PostgreSQLStore(Connection):
    """One connection to the broker's tables.

    Args:
        url: URL of the database.
        connect_timeout: Seconds for connecting and finding the tables.
        options: Settings common to all drivers.
    """

    dialect = DIALECT
    statements = STATEMENTS
    tells = True

    def __init__(self, url: str, connect_timeout: float, options: BrokerOptions) -> None:
        super().__init__(url, connect_timeout, min(STATEMENT_TIMEOUT, max(options.lease, MIN_TIMEOUT)))
        self._pipe = WakePipe()
        self._channels: list[str] = []
        self._safety_interval = min(max(SAFETY_INTERVAL, options.lease * _SAFETY_SHARE), LONGEST_SAFETY_INTERVAL)
        #: Precedence and id of the last message claimed from each queue.
        self._places: dict[str, tuple[int, int]] = {}
        self._front_at = 0.0
        self._was_full = False
        self.has_heard = False
        try:
            with self.within(connect_timeout):
                ensure_schema(self)
        except BaseException:
            self.close()
            raise

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self.run(statement, parameters).rows

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, durable: bool = True) -> int:
        return self.run(statement, parameters, durable=durable).touched

    def insert(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.run(f"{statement} RETURNING id", parameters, durable=False).rows[0][0])

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        return sum(answer.touched for answer in self.run_pipeline([[(statement, row) for row in rows]]))

    def ids_parameter(self, ids: Sequence[int]) -> list[int]:
        return list(ids)

    def add_messages(self, rows: Sequence[Row], *, durable: bool = True) -> None:
        # The notification is a transaction of its own, in the same round trip: one lock serialises all that
        # notify until their commits are on disk, and this one has nothing to put there.
        notify = [(_NOTIFY, (_channels(row[0] for row in rows),))]
        if len(rows) < COPY_FROM:
            self.run_pipeline([[(self.statements.insert_message, row) for row in rows], notify], durable=durable)
        else:
            self.copy_in(_COPY, copy_data(rows))
            self.run_pipeline([notify], durable=False)

    def claim(self, session: int, queues: Sequence[str], limit: int) -> list[Row]:
        # What was announced before this look is covered by it.
        self.has_news = False
        if len(queues) > 1:
            queues = [name for (name,) in self.query(_WITH_MESSAGES, (list(queues),))]
        found: list[Row] = []
        for queue in queues:
            rows = self._claim_behind(session, queue, limit - len(found))
            if not rows:
                rows = self._claim_front(session, queue, limit - len(found))
            # RETURNING promises no order.
            rows.sort(key=lambda row: (row[11], row[0]))
            if rows:
                self._places[queue] = (rows[-1][11], rows[-1][0])
            found += rows
            if len(found) >= limit:
                break
        return found

    def _claim_behind(self, session: int, queue: str, limit: int) -> list[Row]:
        """Claim what lies behind the last claim, or is more urgent than that was."""
        if self.has_returned:
            self.has_returned = False
            self._places.clear()
        place = self._places.get(queue)
        # While there is little to do the front can wait a little longer: a lone message is found here faster.
        grace = 0.0 if self._was_full else 1.0
        if place is None or time.monotonic() >= self._front_at + grace:
            return []
        precedence, id_ = place
        parameters = (session, session, queue, precedence, limit, queue, precedence, id_, limit, limit)
        rows = self.run(_CLAIM_BEHIND, parameters, durable=False).rows
        self._was_full = len(rows) == limit
        return rows

    def _claim_front(self, session: int, queue: str, limit: int) -> list[Row]:
        started = time.monotonic()
        rows = self.run(_CLAIM, (session, session, queue, limit), durable=False).rows
        finished = time.monotonic()
        self._front_at = finished + max(FRONT_INTERVAL, FRONT_RATIO * (finished - started))
        return rows

    def promote(self, queue: str) -> int:
        # A delayed message is older than what was claimed last.
        self._places.pop(queue, None)
        return self.run(_PROMOTE, (queue,), durable=False).touched

    def listen(self, queues: Sequence[str]) -> None:
        wanted = _channels(queues)
        changes = [f"UNLISTEN {name}" for name in self._channels if name not in wanted]
        changes += [f"LISTEN {name}" for name in wanted if name not in self._channels]
        for statement in changes:
            self.run(statement, durable=False)
        self._channels = wanted

    def announce(self, queues: Iterable[str]) -> None:
        self.has_returned = True
        self.run(_NOTIFY_RETURNED, (_channels(queues),), durable=False)

    def wait(self, seconds: float) -> bool:
        woken = False
        self.has_heard = self.has_news
        if not self.has_news:
            woken = self._pipe.wait(min(seconds, self._safety_interval), self.fileno())
            self.has_heard = self.take_news()
        self.has_news = False
        return woken

    def wake(self) -> None:
        self._pipe.wake()

    def close(self) -> None:
        super().close()
        self._pipe.close()


def _with_ssl(url: str, use_ssl: bool | Mapping[str, Any]) -> str:
    """The URL with ``broker_use_ssl``: True, or libpq's parameters such as ``sslmode`` and ``sslrootcert``."""
    if not use_ssl:
        return url
    parameters = {"sslmode": "require"} if use_ssl is True else dict(use_ssl)
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def _channels(queues: Iterable[str]) -> list[str]:
    """Notification channels of queues; a name of a queue may be too long for one."""
    return [f"celeriac_{hash_of(queue):016x}" for queue in dict.fromkeys(queues)]


def ensure_schema(store: PostgreSQLStore) -> None:
    """Create what is missing.

    Raises:
        ImproperlyConfigured: A newer version has changed the tables.
    """
    store.run_pipeline([[(setting, ()) for setting in _SETTINGS]])
    if not store.query("SELECT to_regclass('celeriac_meta') IS NOT NULL")[0][0]:
        _create(store)
    ((version,),) = store.query(STATEMENTS.version)
    if int(version) != VERSION:
        raise ImproperlyConfigured(
            f"the tables at {store.shown_url} are of version {version}, and this release of Celeriac works with "
            f"version {VERSION}: use the same release everywhere, or another database or schema"
        )


def _create(store: PostgreSQLStore) -> None:
    with store.transaction():
        store.query("SELECT pg_advisory_xact_lock(%s)", (_CREATION_LOCK,))
        # Another session may have made them while this one waited for the lock. Whether it did cannot be asked here:
        # the server answers out of a cache that it does not renew for a lock of this kind.
        for statement in (*create_statements(DIALECT), _STORAGE):
            store.execute(statement)
        store.execute(f"{STATEMENTS.set_version} ON CONFLICT DO NOTHING", (str(VERSION),))
