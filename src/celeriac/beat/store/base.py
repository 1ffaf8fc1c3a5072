"""The port of schedule stores: records by name, written only by who has seen the latest, and one leader at a time.

What a record says is the scheduler's business.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LeadershipLost", "ScheduleStore", "Stored", "Write", "first_token"]


class LeadershipLost(OperationalError):
    """Another scheduler has become the leader since the fencing token was given out."""


class Stored(NamedTuple):
    """A record as it is stored.

    Attributes:
        revision: Changes with every write.
        data: The record, as text.
    """

    revision: int
    data: str


class Write(NamedTuple):
    """One write.

    Attributes:
        name: Name of the record.
        expected: The revision that has been read; 0 when there was no such record.
        revision: Its revision from now on.
        data: The record; None deletes it.
    """

    name: str
    expected: int
    revision: int
    data: str | None

    @classmethod
    def of(cls, name: str, expected: int, data: str | None) -> Write:
        """A write with its next revision; that of a new record is one that no record of this name had before."""
        return cls(name, expected, expected + 1 if expected else random.randrange(1, 1 << 40), data)


def first_token() -> int:
    """The token that a new store counts from: another one than any store before it."""
    return random.randrange(1, 1 << 31) << 20


class ScheduleStore(Protocol):
    """A store. Used by one thread. Every method raises `OperationalError` when the store cannot be reached in time."""

    url: str

    def acquire(self, holder: str, ttl: float) -> int | None:
        """Become the leader, or stay it.

        The lease is measured by the store's own clock, or by one that nobody can set.

        Args:
            holder: Who asks; unique in the world.
            ttl: Seconds until the lease runs out.

        Returns:
            The fencing token, greater with every change of leader, from `first_token` on; None while another is the
            leader.
        """
        ...

    def release(self, holder: str) -> None:
        """Let another become the leader at once. Does nothing for who is not the leader."""
        ...

    def leader(self) -> str | None:
        """Who is the leader; None when nobody is."""
        ...

    def version(self) -> int:
        """A number that changes with every write that bears no token, that is, with every edit by a person."""
        ...

    def load(self) -> dict[str, Stored]:
        """All records by name."""
        ...

    def write_many(self, writes: Sequence[Write], token: int | None = None) -> set[str]:
        """Write records, each only if its revision is the expected one.

        Args:
            writes: What to write.
            token: The leader's fencing token; None for an edit.

        Returns:
            Names of the records that were written.

        Raises:
            LeadershipLost: The token is no longer the latest; nothing was written.
        """
        ...

    def close(self) -> None:
        """Close connections. It opens new ones when it is used again."""
        ...
