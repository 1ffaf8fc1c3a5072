"""What a session needs of its database: the part of each driver that differs.  It implements nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from celeriac.broker.sql.envelope import Row
    from celeriac.broker.sql.schema import Dialect, Statements


class Store(Protocol):
    """One connection to a database. Used by one thread; only `wake` may be called from another.

    Every method raises `OperationalError`, or `SessionLost` when the connection is of no use any more; and
    an error that is a `TimeoutError` as well when the deadline of `within` passed.
    """

    dialect: Dialect
    statements: Statements
    #: Whoever listens is told of messages.
    tells: bool
    #: The last `wait` ended because of messages.
    has_heard: bool

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows of a statement."""
        ...

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, durable: bool = True) -> int:
        """Run a statement; returns how many rows it changed.

        Args:
            statement: The statement.
            parameters: Its parameters.
            durable: Return only when the change would survive a crash of the database.
        """
        ...

    def insert(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Insert a row; returns its id."""
        ...

    def execute_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement for each row, within a transaction; returns how many rows were changed."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Make one transaction of a block."""
        ...

    def within(self, seconds: float | None) -> AbstractContextManager[None]:
        """Give everything in a block one deadline."""
        ...

    def ids_parameter(self, ids: Sequence[int]) -> Any:
        """The parameter of the dialect's condition on ids."""
        ...

    def add_messages(self, rows: Sequence[Row], *, durable: bool = True) -> None:
        """Insert messages, all or none, and tell who waits for their queues.

        Args:
            rows: The messages.
            durable: As for `execute`.
        """
        ...

    def claim(self, session: int, queues: Sequence[str], limit: int) -> list[Row]:
        """Put up to `limit` waiting messages under a session whose lease is running.

        Returns:
            id, queue, deliveries, the content, expires_at; by queue in the order given, priority, and id.
        """
        ...

    def promote(self, queue: str) -> int:
        """Make up to 1000 delayed messages wait that are due; returns how many."""
        ...

    def listen(self, queues: Sequence[str]) -> None:
        """Be told of messages in these queues from now on."""
        ...

    def announce(self, queues: Iterable[str]) -> None:
        """Tell who waits for these queues to look."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until told of messages, or until it is wise to look; True if `wake` ended the wait."""
        ...

    def wake(self) -> None:
        """Make `wait` return. Safe from any thread and from signal handlers."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...
