"""Changes of our table in Cassandra of which it is known in the end whether they were made.

A lightweight transaction that times out may have been done, may be done later, or never.  A serial read decides which,
and the version that is there then tells whose change it was.  It knows no results.
"""

from __future__ import annotations

import time
from enum import Enum
from random import uniform
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from celeriac.backend.kv.cassandra.client import NOT_BEGUN, UNDECIDED
from celeriac.backend.kv.driver import ANY
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from uuid import UUID

    from celeriac.backend.kv.cassandra.tables import Tables, Value

#: Seconds of the first pause between two attempts, and of the longest one.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.25


class Seen(NamedTuple):
    """What a change is to follow on.

    Attributes:
        version: What is in our table; None if there is nothing.
        shown_at: ``date_done`` of the row that Celery's clients see; None if there is none.
    """

    version: UUID | None = None
    shown_at: dt.datetime | None = None


_NOTHING: Final = Seen()


class _Outcome(Enum):
    """What became of a transaction."""

    #: It was done.
    DONE = 0
    #: It was not, as something else was there.
    REFUSED = 1
    #: It was not, though there is what was expected.
    NOT_DONE = 2
    #: Something else is there, and may be there instead of it, or in its place.
    UNKNOWN = 3


class _Pauses:
    """Pauses by chance between attempts, longer ones each time, until the time is over."""

    def __init__(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._longest = _FIRST_PAUSE

    def take(self, failure: str, cause: Exception | None = None) -> None:
        """Pause.

        Raises:
            OperationalError: The time is over; this is what did not happen.
        """
        if time.monotonic() >= self._deadline:
            raise OperationalError(failure) from cause
        time.sleep(uniform(0, self._longest))
        self._longest = min(self._longest * 2, _LONGEST_PAUSE)


class Transactions:
    """Changes of values.

    Args:
        tables: Gives the tables of this process.
        timeout: Seconds after which what is tried again and again has failed.
        url: What the store is called in messages.
    """

    def __init__(self, tables: Callable[[], Tables], timeout: float, url: str) -> None:
        self._tables, self._timeout, self._url = tables, timeout, url

    def keep(
        self, key: str, make: Callable[[dt.datetime | None], Value], ttl: int, expecting: Seen | Any
    ) -> Value | None:
        """Keep a value.

        Args:
            key: Where.
            make: Makes it, with a version that nothing else has; it is told of `Seen.shown_at`.
            ttl: Seconds it is kept; 0 is for ever.
            expecting: `ANY`, `ABSENT`, or what was seen.

        Returns:
            What is kept now; None if something else than expected is there.

        Raises:
            OperationalError: It was not kept, or it is unknown whether it was.
        """
        before = expecting if isinstance(expecting, Seen) else _NOTHING
        mine, is_repeated, pauses = make(before.shown_at), False, _Pauses(self._timeout)
        while True:
            outcome = self._swap(key, mine, ttl, before.version, is_repeated=is_repeated)
            if outcome is _Outcome.DONE:
                return mine
            if outcome is _Outcome.NOT_DONE:
                # If the first attempt should be done after all, it is known by its version.
                is_repeated = True
                pauses.take(f"{key} was not kept in {self._url}: for {self._timeout:g} s transactions timed out")
                continue
            if expecting is not ANY:
                if outcome is _Outcome.UNKNOWN:
                    raise OperationalError(
                        f"it is unknown whether {key} was changed in {self._url}: the transaction timed out, and "
                        f"others have changed it meanwhile"
                    )
                return None
            pauses.take(f"{key} was not kept in {self._url}: others kept changing it for {self._timeout:g} s")
            there = self._tables().settled([key]).get(key)
            before = _NOTHING if there is None else Seen(there.version, there.shown_at)
            mine, is_repeated = make(before.shown_at), False

    def _swap(self, key: str, mine: Value, ttl: int, version: UUID | None, *, is_repeated: bool) -> _Outcome:
        """One transaction."""
        tables = self._tables()
        try:
            is_done = tables.create(key, mine, ttl) if version is None else tables.replace(key, mine, ttl, version)
        except NOT_BEGUN:
            raise
        except UNDECIDED as exc:
            there = self._settled(key, exc)
        else:
            if is_done or not is_repeated:
                return _Outcome.DONE if is_done else _Outcome.REFUSED
            there = self._settled(key, TimeoutError("the first transaction timed out"))
        found = None if there is None else there.version
        if found == mine.version:
            return _Outcome.DONE
        return _Outcome.NOT_DONE if found == version else _Outcome.UNKNOWN

    def _settled(self, key: str, cause: Exception) -> Value | None:
        """What is there, after a transaction failed in a way that leaves open whether it was done."""
        pauses = _Pauses(self._timeout)
        while True:
            try:
                return self._tables().settled([key]).get(key)
            except (*UNDECIDED, *NOT_BEGUN) as exc:
                pauses.take(
                    f"it is unknown whether {key} was changed in {self._url}: {cause}; since then nobody could say "
                    f"what is there: {exc}",
                    cause,
                )

    def delete(self, key: str) -> None:
        """Keep nothing, whatever is there."""
        pauses = _Pauses(self._timeout)
        while True:
            try:
                self._tables().delete(key)
            except NOT_BEGUN:
                raise
            except UNDECIDED as exc:
                # To delete twice does no harm.
                pauses.take(f"it is unknown whether {key} was deleted in {self._url}: {exc}", exc)
            else:
                return
