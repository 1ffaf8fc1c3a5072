"""Chords in tables of our own beside Celery's: one row for each chord, and one for each part until it is concluded.

Workers of Celery know nothing of them: they look for the results of a chord's header again and again instead.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.base import ChordProgress
from celeriac.backend.retention import chord_lifetime
from celeriac.drivers.sql import errors, large_binary, mysql_insert, postgresql_insert, sa, sqlite_insert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from celeriac.backend.base import BackendOptions, ChordPart
    from celeriac.backend.codec import ResultCodec

#: Rows in one statement.
_ROWS: Final = 500
#: Chords taken over at once.
_PAGE: Final = 100
_ID: Final = 155


class ChordTables:
    """The tables.

    Args:
        metadata: They are made with.
        schema: Schema they are in, or None.
    """

    def __init__(self, metadata: sa.MetaData, schema: str | None) -> None:
        # A chord without a size is closed; one with a body is complete.
        self.chords = sa.Table(
            "celeriac_chords",
            metadata,
            sa.Column("chord_id", sa.String(_ID), primary_key=True),
            sa.Column("size", sa.Integer),
            sa.Column("count", sa.Integer, nullable=False),
            sa.Column("body", large_binary()),
            sa.Column("leased_until", sa.Double),
            sa.Column("expires_at", sa.Double),
            sa.Index("celeriac_chords_lease", "leased_until"),
            schema=schema,
        )
        self.parts = sa.Table(
            "celeriac_chord_parts",
            metadata,
            sa.Column("chord_id", sa.String(_ID), primary_key=True),
            sa.Column("task_id", sa.String(_ID), primary_key=True),
            sa.Column("position", sa.Integer),
            sa.Column("part", large_binary(), nullable=False),
            schema=schema,
        )
        self.claims = sa.Table(
            "celeriac_claims",
            metadata,
            sa.Column("name", sa.String(255), primary_key=True),
            sa.Column("token", sa.String(_ID), nullable=False),
            sa.Column("expires_at", sa.Double),
            schema=schema,
        )
        self.graphs = sa.Table(
            "celeriac_graphs",
            metadata,
            sa.Column("graph_id", sa.String(_ID), primary_key=True),
            sa.Column("graph", large_binary(), nullable=False),
            sa.Column("expires_at", sa.Double),
            schema=schema,
        )


class DatabaseChords:
    """The part of the backend that joins chords.

    Args:
        options: Lifetimes.
        codec: Encodes parts.
        tables: The tables.
        statement: The engine, with errors translated.
    """

    def __init__(
        self,
        options: BackendOptions,
        codec: ResultCodec,
        tables: ChordTables,
        statement: Callable[[], AbstractContextManager[sa.Engine]],
    ) -> None:
        self._lifetime = chord_lifetime(options)
        self._codec = codec
        self._tables = tables
        self._statement = statement

    def open(self, chord_id: str, size: int) -> None:
        """See `ResultBackend.open_chord`."""
        chords = self._tables.chords
        row = {"size": size, "count": 0, "body": None, "leased_until": None, "expires_at": self._expiry()}
        with self._statement() as engine, engine.begin() as connection:
            connection.execute(sa.delete(chords).where(chords.c.chord_id == chord_id))
            connection.execute(sa.insert(chords), {"chord_id": chord_id, **row})

    def grow(self, chord_id: str, count: int) -> None:
        """See `ResultBackend.grow_chord`."""
        chords = self._tables.chords
        with self._statement() as engine, engine.begin() as connection:
            connection.execute(
                sa.update(chords).where(chords.c.chord_id == chord_id).values(size=chords.c.size + count)
            )

    def add(self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, lease: float) -> ChordProgress:
        """See `ResultBackend.add_chord_parts`."""
        rows = [
            {"chord_id": chord_id, "task_id": part.task_id, "position": part.index,
             "part": self._codec.encode_part(part)}
            for part in parts
        ]  # fmt: skip
        chords = self._tables.chords
        this = (chords.c.chord_id == chord_id) & chords.c.size.is_not(None)
        with self._statement() as engine, engine.begin() as connection:
            # Written first, which locks the row: one worker at a time counts.
            locked = connection.execute(sa.update(chords).where(this).values(expires_at=self._expiry()))
            if not locked.rowcount:
                return ChordProgress.RECORDED
            wanted = sa.select(chords.c.size, chords.c.count, chords.c.body.is_not(None)).where(this)
            size, count, is_complete = connection.execute(wanted).one()
            if body is None and not is_complete and count + len(rows) >= size:
                return ChordProgress.BODY_WANTED
            count += self._add_rows(connection, rows)
            changes: dict[str, Any] = {"count": count}
            completes = count >= size and not is_complete
            if completes:
                changes |= {"body": body, "leased_until": time.time() + lease}
            connection.execute(sa.update(chords).where(this).values(changes))
            return ChordProgress.COMPLETE if completes else ChordProgress.RECORDED

    def _add_rows(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> int:
        """Add the rows that are not there yet; returns how many those were."""
        parts = self._tables.parts
        known = {
            task_id
            for start in range(0, len(rows), _ROWS)
            for (task_id,) in connection.execute(
                sa.select(parts.c.task_id).where(
                    parts.c.chord_id == rows[0]["chord_id"],
                    parts.c.task_id.in_([row["task_id"] for row in rows[start : start + _ROWS]]),
                )
            )
        }
        new = {row["task_id"]: row for row in reversed(rows) if row["task_id"] not in known}
        if new:
            connection.execute(sa.insert(parts), list(new.values()))
        return len(new)

    def load(self, chord_id: str) -> list[ChordPart] | None:
        """See `ResultBackend.load_chord`."""
        parts = self._tables.parts
        wanted = sa.select(parts.c.position, parts.c.part).where(parts.c.chord_id == chord_id)
        with self._statement() as engine, engine.connect() as connection:
            found = [(position, bytes(data)) for position, data in connection.execute(wanted)]
        found.sort(key=lambda row: float("inf") if row[0] is None else row[0])
        return [self._codec.decode_part(data, position) for position, data in found] or None

    def close(self, chord_id: str) -> None:
        """See `ResultBackend.close_chord`."""
        chords, parts = self._tables.chords, self._tables.parts
        closed = {"size": None, "body": None, "leased_until": None, "expires_at": self._expiry()}
        with self._statement() as engine, engine.begin() as connection:
            connection.execute(sa.update(chords).where(chords.c.chord_id == chord_id).values(closed))
            connection.execute(sa.delete(parts).where(parts.c.chord_id == chord_id))

    def take(self, lease: float) -> list[tuple[str, bytes]]:
        """See `ResultBackend.take_chords`."""
        chords, now, taken = self._tables.chords, time.time(), []
        overdue = sa.select(chords.c.chord_id, chords.c.body).where(chords.c.leased_until <= now).limit(_PAGE)
        with self._statement() as engine:
            with engine.connect() as connection:
                found = [(chord_id, bytes(body)) for chord_id, body in connection.execute(overdue)]
            for chord_id, body in found:
                with engine.begin() as connection:
                    changed = connection.execute(
                        sa.update(chords)
                        .where(chords.c.chord_id == chord_id, chords.c.leased_until <= now)
                        .values(leased_until=now + lease)
                    )
                # Whoever changes the lease first has it.
                if changed.rowcount:
                    taken.append((chord_id, body))
        return taken

    def claim(self, name: str, token: str) -> str:
        """See `ResultBackend.claim`."""
        claims = self._tables.claims
        row = {"name": name, "token": token, "expires_at": self._expiry()}
        with self._statement() as engine:
            with engine.begin() as connection:
                _insert_missing(connection, claims, row)
            with engine.connect() as connection:
                holder = connection.execute(sa.select(claims.c.token).where(claims.c.name == name)).scalar_one()
        return str(holder)

    def sweep(self, connection: sa.Connection, now: float) -> int:
        """Delete what has expired; returns how much."""
        chords, parts, claims = self._tables.chords, self._tables.parts, self._tables.claims
        graphs = self._tables.graphs
        expired = sa.select(chords.c.chord_id).where(chords.c.expires_at <= now)
        doomed = (
            sa.delete(parts).where(parts.c.chord_id.in_(expired)),
            sa.delete(chords).where(chords.c.expires_at <= now),
            sa.delete(claims).where(claims.c.expires_at <= now),
            sa.delete(graphs).where(graphs.c.expires_at <= now),
        )
        return sum(connection.execute(statement).rowcount for statement in doomed)

    def _expiry(self) -> float | None:
        return None if self._lifetime is None else time.time() + self._lifetime


def _insert_missing(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row unless there is one with its key."""
    dialect = connection.dialect.name
    if dialect in ("mysql", "mariadb"):
        connection.execute(mysql_insert(table).prefix_with("IGNORE"), row)
    elif dialect in ("postgresql", "sqlite"):
        insert: Any = postgresql_insert if dialect == "postgresql" else sqlite_insert
        connection.execute(insert(table).on_conflict_do_nothing(), row)
    else:
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(table), row)
        except errors.IntegrityError:
            return
