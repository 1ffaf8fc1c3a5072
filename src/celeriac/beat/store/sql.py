"""What the stores in SQL databases share: the tables, the statements, and their order in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from celeriac.beat.store.base import LeadershipLost, Stored, Write, first_token
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

__all__ = ["SQLStore", "Session"]

T = TypeVar("T")

#: Tables: records, and for each application who leads.
_CREATE: Final = (
    "CREATE TABLE IF NOT EXISTS celeriac_schedule (scope {name}, name {name}, revision BIGINT NOT NULL, "
    "data {text} NOT NULL, PRIMARY KEY (scope, name))",
    "CREATE TABLE IF NOT EXISTS celeriac_schedule_leader (scope {name} PRIMARY KEY, holder {name}, "
    "token BIGINT NOT NULL, version BIGINT NOT NULL, lease_until {real} NOT NULL)",
)
_LEADER: Final = "SELECT holder, token, lease_until FROM celeriac_schedule_leader WHERE scope = %s"
_LEAD: Final = "UPDATE celeriac_schedule_leader SET holder = %s, token = %s, lease_until = %s WHERE scope = %s"
_RELEASE: Final = "UPDATE celeriac_schedule_leader SET holder = '', lease_until = 0 WHERE scope = %s AND holder = %s"
_VERSION: Final = "SELECT version FROM celeriac_schedule_leader WHERE scope = %s"
_EDITED: Final = "UPDATE celeriac_schedule_leader SET version = version + 1 WHERE scope = %s"
_LOAD: Final = "SELECT name, revision, data FROM celeriac_schedule WHERE scope = %s"
_UPDATE: Final = (
    "UPDATE celeriac_schedule SET revision = %s, data = %s WHERE scope = %s AND name = %s AND revision = %s"
)
_DELETE: Final = "DELETE FROM celeriac_schedule WHERE scope = %s AND name = %s AND revision = %s"
_NAMES: Final = "SELECT name FROM celeriac_schedule WHERE scope = %s"
_INSERT: Final = "INSERT INTO celeriac_schedule (scope, name, revision, data) VALUES (%s, %s, %s, %s)"
_INSERT_LEADER: Final = "INSERT INTO celeriac_schedule_leader VALUES (%s, '', %s, 0, 0)"

#: Attempts at making the tables: one for each thing that is made.
_ATTEMPTS: Final = 4


class Session(Protocol):
    """One connection, in the words the stores need."""

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement with ``%s`` for parameters."""
        ...

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; returns how many rows it changed."""
        ...

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row, within a transaction."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Make one transaction of a block."""
        ...

    def now(self) -> float:
        """Seconds by the clock that leases are measured with."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class SQLStore:
    """Records in two tables.

    Args:
        url: The URL without its password.
        scope: The application.
        connect: Opens a session.
        types: The words of the dialect for ``name``, ``text`` and ``real``.
        lock: What makes a SELECT lock its rows.
    """

    #: The clock that leases are measured with begins anew with the machine.
    clock_restarts = False

    def __init__(
        self, url: str, scope: str, connect: Callable[[], Session], types: dict[str, str], lock: str = " FOR UPDATE"
    ) -> None:
        self.url = url
        self._scope = scope
        self._connect = connect
        self._types = types
        self._lock = lock
        self._session: Session | None = None

    def acquire(self, holder: str, ttl: float) -> int | None:
        return self._run(lambda session: self._acquire(session, holder, ttl))

    def _acquire(self, session: Session, holder: str, ttl: float) -> int | None:
        with session.transaction():
            ((current, token, until),) = session.query(_LEADER + self._lock, (self._scope,))
            now = session.now()
            is_running = now < until
            if self.clock_restarts:
                # A lease with much longer to run than is asked for is from before the machine was restarted.
                is_running = is_running and until <= now + 2 * ttl + 60
            if is_running and current != holder:
                return None
            if not is_running or current != holder:
                token += 1
            session.execute(_LEAD, (holder, token, now + ttl, self._scope))
        return int(token)

    def release(self, holder: str) -> None:
        self._run(lambda session: session.execute(_RELEASE, (self._scope, holder)))

    def leader(self) -> str | None:
        def find(session: Session) -> str | None:
            ((holder, _, until),) = session.query(_LEADER, (self._scope,))
            return str(holder) if holder and session.now() < until else None

        return self._run(find)

    def version(self) -> int:
        return int(self._run(lambda session: session.query(_VERSION, (self._scope,)))[0][0])

    def load(self) -> dict[str, Stored]:
        rows = self._run(lambda session: session.query(_LOAD, (self._scope,)))
        return {name: Stored(int(revision), data) for name, revision, data in rows}

    def write_many(self, writes: Sequence[Write], token: int | None = None) -> set[str]:
        return self._run(lambda session: self._write(session, writes, token)) if writes else set()

    def _write(self, session: Session, writes: Sequence[Write], token: int | None) -> set[str]:
        with session.transaction():
            ((_, latest, _),) = session.query(_LEADER + self._lock, (self._scope,))
            if token is not None and token != latest:
                raise LeadershipLost(f"another scheduler has become the leader of {self.url} (token {latest})")
            if token is None:
                session.execute(_EDITED, (self._scope,))
            written = {write.name for write in writes if write.expected and self._change(session, write)}
            new = [write for write in writes if not write.expected and write.data is not None]
            if new:
                # Who writes holds the lock on the leader's row, so that nobody else inserts meanwhile.
                taken = {name for (name,) in session.query(_NAMES, (self._scope,))}
                rows = [(self._scope, each.name, each.revision, each.data) for each in new if each.name not in taken]
                if rows:
                    session.execute_many(_INSERT, rows)
                written.update(row[1] for row in rows)
        return written

    def _change(self, session: Session, write: Write) -> bool:
        place = (self._scope, write.name, write.expected)
        if write.data is None:
            return session.execute(_DELETE, place) > 0
        return session.execute(_UPDATE, (write.revision, write.data, *place)) > 0

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # -- the connection -------------------------------------------------------------------------------------------

    def _run(self, operation: Callable[[Session], T]) -> T:
        """Run an operation; one that fails leaves no connection behind whose state is unknown."""
        try:
            if self._session is None:
                self._session = self._open()
            return operation(self._session)
        except LeadershipLost:
            raise
        except OperationalError:
            self.close()
            raise

    def _open(self) -> Session:
        attempt = 1
        while True:
            session = self._connect()
            try:
                self._prepare(session)
            except BaseException as exc:
                session.close()
                # Of those that make a table or a row at the same moment, PostgreSQL refuses all but one.
                if not isinstance(exc, OperationalError) or attempt == _ATTEMPTS:
                    raise
                attempt += 1
            else:
                return session

    def _prepare(self, session: Session) -> None:
        """Make what is missing."""
        for statement in _CREATE:
            with session.transaction():
                session.execute(statement.format(**self._types))
        with session.transaction():
            if not session.query(_VERSION, (self._scope,)):
                session.execute(_INSERT_LEADER, (self._scope, first_token()))
