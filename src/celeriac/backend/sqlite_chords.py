"""Chords in the SQLite file of the results: a row for each chord, and one for each part until it is concluded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from celeriac.backend.base import ChordProgress
from celeriac.backend.retention import chord_lifetime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.backend.base import BackendOptions, ChordPart
    from celeriac.backend.codec import ResultCodec
    from celeriac.drivers.sqlite import Database

CREATE: Final = (
    # A chord without a size is closed; one with a body is complete.
    """CREATE TABLE IF NOT EXISTS celeriac_chords (
        chord_id TEXT NOT NULL PRIMARY KEY, size INTEGER, count INTEGER NOT NULL DEFAULT 0,
        body BLOB, leased_until REAL, expires_at REAL
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS celeriac_chords_ready ON celeriac_chords (leased_until) WHERE body IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS celeriac_chord_parts (
        chord_id TEXT NOT NULL, task_id TEXT NOT NULL, position INTEGER, part BLOB NOT NULL,
        PRIMARY KEY (chord_id, task_id)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS celeriac_claims (
        name TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL, expires_at REAL
    ) WITHOUT ROWID""",
)
_OPEN: Final = "INSERT OR REPLACE INTO celeriac_chords (chord_id, size, expires_at) VALUES (?, ?, ?)"
_GROW: Final = "UPDATE celeriac_chords SET size = size + ? WHERE chord_id = ?"
_FIND: Final = "SELECT size, count, body IS NOT NULL FROM celeriac_chords WHERE chord_id = ? AND size IS NOT NULL"
_ADD: Final = "INSERT OR IGNORE INTO celeriac_chord_parts (chord_id, task_id, position, part) VALUES (?, ?, ?, ?)"
_COUNT: Final = "UPDATE celeriac_chords SET count = ?, expires_at = ? WHERE chord_id = ?"
_COMPLETE: Final = "UPDATE celeriac_chords SET body = ?, leased_until = ? WHERE chord_id = ?"
_LOAD: Final = "SELECT position, part FROM celeriac_chord_parts WHERE chord_id = ? ORDER BY position IS NULL, position"
_CLOSE: Final = (
    "UPDATE celeriac_chords SET size = NULL, body = NULL, leased_until = NULL, expires_at = ? WHERE chord_id = ?"
)
_DROP_PARTS: Final = "DELETE FROM celeriac_chord_parts WHERE chord_id = ?"
_OVERDUE: Final = (
    "SELECT chord_id, body FROM celeriac_chords WHERE body IS NOT NULL AND leased_until <= ? ORDER BY leased_until "
    "LIMIT 100"
)
_LEASE: Final = "UPDATE celeriac_chords SET leased_until = ? WHERE chord_id = ?"
_CLAIM: Final = "INSERT OR IGNORE INTO celeriac_claims (name, token, expires_at) VALUES (?, ?, ?)"
_CLAIMED: Final = "SELECT token FROM celeriac_claims WHERE name = ?"
_SWEEP: Final = (
    "DELETE FROM celeriac_chord_parts WHERE chord_id IN (SELECT chord_id FROM celeriac_chords WHERE expires_at <= ?)",
    "DELETE FROM celeriac_chords WHERE expires_at <= ?",
    "DELETE FROM celeriac_claims WHERE expires_at <= ?",
)


class SQLiteChords:
    """The part of the backend that joins chords.

    Args:
        options: Lifetimes.
        codec: Encodes parts.
        connection: The connection of this thread.
    """

    def __init__(self, options: BackendOptions, codec: ResultCodec, connection: Callable[[], Database]) -> None:
        self._lifetime = chord_lifetime(options)
        self._codec = codec
        self._connection = connection

    def open(self, chord_id: str, size: int) -> None:
        """See `ResultBackend.open_chord`."""
        self._connection().execute(_OPEN, (chord_id, size, self._expiry()))

    def grow(self, chord_id: str, count: int) -> None:
        """See `ResultBackend.grow_chord`."""
        self._connection().execute(_GROW, (count, chord_id))

    def add(self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, lease: float) -> ChordProgress:
        """See `ResultBackend.add_chord_parts`."""
        rows = [(chord_id, part.task_id, part.index, self._codec.encode_part(part)) for part in parts]
        connection = self._connection()
        with connection.transaction():
            found = connection.query(_FIND, (chord_id,))
            if not found:
                return ChordProgress.RECORDED
            size, count, is_complete = found[0]
            if body is None and not is_complete and count + len(rows) >= size:
                return ChordProgress.BODY_WANTED
            count += connection.execute_many(_ADD, rows)
            connection.execute(_COUNT, (count, self._expiry(), chord_id))
            if count < size or is_complete:
                return ChordProgress.RECORDED
            connection.execute(_COMPLETE, (body, time.time() + lease, chord_id))
            return ChordProgress.COMPLETE

    def load(self, chord_id: str) -> list[ChordPart] | None:
        """See `ResultBackend.load_chord`."""
        rows = self._connection().query(_LOAD, (chord_id,))
        return [self._codec.decode_part(data, position) for position, data in rows] or None

    def close(self, chord_id: str) -> None:
        """See `ResultBackend.close_chord`."""
        connection = self._connection()
        with connection.transaction():
            connection.execute(_CLOSE, (self._expiry(), chord_id))
            connection.execute(_DROP_PARTS, (chord_id,))

    def take(self, lease: float) -> list[tuple[str, bytes]]:
        """See `ResultBackend.take_chords`."""
        connection, now = self._connection(), time.time()
        # Mostly there are none: that takes no lock.
        if not connection.query(_OVERDUE, (now,)):
            return []
        with connection.transaction():
            found = connection.query(_OVERDUE, (now,))
            connection.execute_many(_LEASE, [(now + lease, chord_id) for chord_id, _ in found])
        return [(chord_id, bytes(body)) for chord_id, body in found]

    def claim(self, name: str, token: str) -> str:
        """See `ResultBackend.claim`."""
        connection = self._connection()
        with connection.transaction():
            connection.execute(_CLAIM, (name, token, self._expiry()))
            return str(connection.query(_CLAIMED, (name,))[0][0])

    def sweep(self, now: float) -> int:
        """Delete what has expired."""
        return sum(self._connection().execute(statement, (now,)) for statement in _SWEEP)

    def _expiry(self) -> float | None:
        return None if self._lifetime is None else time.time() + self._lifetime
