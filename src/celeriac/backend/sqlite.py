"""Results in an SQLite file: the default with nothing configured, in the same file as the broker's messages.

Clients that wait are told of results by datagrams, under a topic of their own.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.codec import ResultCodec
from celeriac.backend.joining import JoinsChords
from celeriac.backend.retention import expiry, graph_lifetime
from celeriac.backend.sqlite_chords import CREATE as CREATE_CHORDS
from celeriac.backend.sqlite_chords import SQLiteChords
from celeriac.backend.watching import ReadingWatch, WatchedResults
from celeriac.drivers.datagrams import EVERYTHING, Announcer, Listener, mask_of, news_directory
from celeriac.drivers.sqlite import DEFAULT_APP_NAME, Database, database_path
from celeriac.exceptions import BackendGetMetaError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

TOPIC: Final = "r"

#: Seconds between reads while waiting: with news, in case some was lost; without, as the only means.
SAFETY_INTERVAL: Final = 0.5
POLL_INTERVAL: Final = 0.02

#: Stores between two deletions of a page of expired results.
_SWEEP_EVERY: Final = 1000
_PAGE: Final = 1000

#: Most ids whose bits go into a listener's mask: with more, nearly every bit is set.
_MASKED_IDS: Final = 32

_CREATE: Final = (
    # Rows in order of arrival beside a small index: ids are random, and each would touch a page of its own in a
    # table ordered by them.
    """CREATE TABLE IF NOT EXISTS celeriac_results (
        id INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE,
        status TEXT NOT NULL, meta BLOB NOT NULL, expires_at REAL
    )""",
    """CREATE TABLE IF NOT EXISTS celeriac_groups (
        group_id TEXT NOT NULL PRIMARY KEY, result BLOB NOT NULL, expires_at REAL
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS celeriac_graphs (
        graph_id TEXT NOT NULL PRIMARY KEY, graph BLOB NOT NULL, expires_at REAL
    )""",
    "CREATE INDEX IF NOT EXISTS celeriac_results_expiry ON celeriac_results (expires_at) WHERE expires_at IS NOT NULL",
)
_STORE: Final = """
    INSERT INTO celeriac_results (task_id, status, meta, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE
    SET status = excluded.status, meta = excluded.meta, expires_at = excluded.expires_at
    WHERE celeriac_results.status <> 'SUCCESS' OR excluded.status = 'SUCCESS'
        OR celeriac_results.expires_at <= (SELECT celeriac_now())"""
_LOAD: Final = (
    "SELECT task_id, meta FROM celeriac_results WHERE task_id IN (SELECT value FROM json_each(?)) "
    "AND (expires_at IS NULL OR expires_at > ?)"
)
_FORGET: Final = "DELETE FROM celeriac_results WHERE task_id IN (SELECT value FROM json_each(?))"
_SAVE_GROUP: Final = "INSERT OR REPLACE INTO celeriac_groups (group_id, result, expires_at) VALUES (?, ?, ?)"
_LOAD_GROUP: Final = "SELECT result FROM celeriac_groups WHERE group_id = ? AND (expires_at IS NULL OR expires_at > ?)"
_DELETE_GROUP: Final = "DELETE FROM celeriac_groups WHERE group_id = ?"
_SWEEP: Final = (
    "DELETE FROM celeriac_results WHERE id IN "
    "(SELECT id FROM celeriac_results WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)"
)
_SWEEP_GROUPS: Final = "DELETE FROM celeriac_groups WHERE expires_at <= ?"
_KEEP_GRAPH: Final = "INSERT INTO celeriac_graphs (graph_id, graph, expires_at) VALUES (?, ?, ?)"
_LOAD_GRAPH: Final = "SELECT graph FROM celeriac_graphs WHERE graph_id = ? AND (expires_at IS NULL OR expires_at > ?)"
_SWEEP_GRAPHS: Final = "DELETE FROM celeriac_graphs WHERE expires_at <= ?"


class SQLiteBackend(JoinsChords, WatchedResults):
    """Results in a file: ``sqlite://`` (the app's own), ``sqlite:///relative``, ``sqlite:////absolute``.

    Args:
        url: The URL.
        options: Settings common to all drivers; ``app_name`` names the file of ``sqlite://``.
    """

    def __init__(self, url: str, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        app_name = self.options.app_name or DEFAULT_APP_NAME
        self.path = database_path(url, app_name)
        self.url = f"sqlite:///{self.path}"
        self.capabilities = BackendCapabilities("sqlite", expires=False, graphs=True)
        self._codec = ResultCodec(self.options)
        self._local = threading.local()
        self._connections: weakref.WeakSet[ResultConnection] = weakref.WeakSet()
        self._stores = 0
        self._chords: SQLiteChords = SQLiteChords(self.options, self._codec, self._connection)

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        if not records:
            return
        encode, now = self._codec.encode, time.time()
        rows = [
            (record.task_id, record.status, encode(record), expiry(self.options, record.status, now))
            for record in records
        ]
        connection = self._connection()
        if len(rows) == 1:
            connection.execute(_STORE, rows[0])
        else:
            with connection.transaction():
                connection.execute_many(_STORE, rows)
        connection.announcer.announce(TOPIC, _mask(record.task_id for record in records))
        self._stores += len(rows)
        if self._stores >= _SWEEP_EVERY:
            self._stores = 0
            connection.execute(_SWEEP, (now, _PAGE))

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        if not task_ids:
            return {}
        rows = self._connection().query(_LOAD, (json.dumps(list(task_ids)), time.time()))
        return {task_id: self._decode(task_id, meta) for task_id, meta in rows}

    def open_watch(self) -> ReadingWatch:
        return ReadingWatch(self.load_many, DatagramNews(self._connection().directory))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        if task_ids:
            self._connection().execute(_FORGET, (json.dumps(list(task_ids)),))

    def save_group(self, group_id: str, result: Any) -> None:
        data = self._codec.encode_value(result)
        row = (group_id, data, expiry(self.options, None, time.time()))
        self._connection().execute(_SAVE_GROUP, row)

    def load_group(self, group_id: str) -> Any | None:
        rows = self._connection().query(_LOAD_GROUP, (group_id, time.time()))
        return self._codec.decode_value(rows[0][0]) if rows else None

    def delete_group(self, group_id: str) -> None:
        self._connection().execute(_DELETE_GROUP, (group_id,))

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        lifetime = graph_lifetime(self.options)
        expires_at = time.time() + lifetime if lifetime else None
        connection = self._connection()
        with connection.transaction():
            connection.execute_many(_KEEP_GRAPH, [(id_, data, expires_at) for id_, data in graphs.items()])

    def load_graph(self, graph_id: str) -> bytes | None:
        rows = self._connection().query(_LOAD_GRAPH, (graph_id, time.time()))
        return bytes(rows[0][0]) if rows else None

    def sweep(self) -> int:
        connection, now = self._connection(), time.time()
        removed = sum(connection.execute(statement, (now,)) for statement in (_SWEEP_GROUPS, _SWEEP_GRAPHS))
        removed += self._chords.sweep(now)
        # In pages, so that nobody waits long for the lock.
        while found := connection.execute(_SWEEP, (now, _PAGE)):
            removed += found
        return removed

    def close(self) -> None:
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    def _connection(self) -> ResultConnection:
        """The connection of this thread in this process."""
        connection: ResultConnection | None = getattr(self._local, "connection", None)
        if connection is None or connection.pid != os.getpid():
            connection = ResultConnection(self)
            self._local.connection = connection
            self._connections.add(connection)
        return connection

    def _decode(self, task_id: str, meta: bytes) -> ResultRecord:
        try:
            return self._codec.decode(meta, task_id)
        except SerializationError as exc:
            raise BackendGetMetaError(
                f"the result of task {task_id} in {self.url} cannot be read: {exc}", task_id=task_id
            ) from exc


class ResultConnection(Database):
    """A connection to the tables of results.

    Args:
        backend: Its backend.
    """

    def __init__(self, backend: SQLiteBackend) -> None:
        super().__init__(backend.path, backend.options.timeout)
        exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'celeriac_graphs'"
        if not self.query(exists):
            with self.transaction():
                for statement in (*_CREATE, *CREATE_CHORDS):
                    self.execute(statement)
        self.directory = news_directory(backend.path)
        self.announcer = Announcer(self.directory)

    def close(self) -> None:
        if hasattr(self, "announcer"):
            self.announcer.close()
        super().close()


class DatagramNews:
    """Tells a watch that results were stored, by a socket named after the bits of the tasks it waits for.

    Args:
        directory: Where such sockets are; None where there can be none, and reading at intervals has to do.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._interval = POLL_INTERVAL if directory is None else SAFETY_INTERVAL
        self._mask = 0
        self._listener: Listener | None = None

    def add(self, task_ids: Sequence[str]) -> None:
        """Take a socket with a wider mask, unless the present one covers these tasks."""
        mask = self._mask | (_mask(task_ids) if len(task_ids) <= _MASKED_IDS else EVERYTHING)
        if mask != self._mask or self._listener is None:
            earlier, self._listener = self._listener, Listener(self._directory, TOPIC, mask)
            self._mask = mask
            if earlier is not None:
                earlier.close()

    def discard(self, task_ids: Sequence[str]) -> None:
        """The mask stays as wide: news too many cost less than another socket."""

    def wait(self, seconds: float | None) -> None:
        if self._listener is not None:
            self._listener.wait(self._interval if seconds is None else min(seconds, self._interval))

    def wake(self) -> None:
        listener = self._listener
        if listener is not None:
            listener.wake()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()


def _mask(task_ids: Iterable[str]) -> int:
    return mask_of(*task_ids)
