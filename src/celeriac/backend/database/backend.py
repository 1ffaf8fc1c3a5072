"""The result backend on Celery's tables.

On PostgreSQL, clients that wait are notified; elsewhere they read again, at intervals that grow from 5 to
200 ms.
"""

from __future__ import annotations

import datetime as dt
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.base import BackendCapabilities, BackendOptions, ResultRecord
from celeriac.backend.codec import ResultCodec
from celeriac.backend.database.chords import DatabaseChords
from celeriac.backend.database.setup import make_tables
from celeriac.backend.database.statements import store_rows
from celeriac.backend.database.tables import RowCodec, Tables
from celeriac.backend.database.waiting import open_news, result_channels
from celeriac.backend.joining import JoinsChords
from celeriac.backend.retention import graph_lifetime
from celeriac.backend.watching import ReadingWatch, WatchedResults
from celeriac.drivers.sql import Engines, engine_url, errors, sa
from celeriac.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    ImproperlyConfigured,
    OperationalError,
    SerializationError,
)
from celeriac.utils.imports import symbol_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Ids in one statement: databases limit the number of parameters, the strictest in use to 999.
_IDS: Final = 500
_DEFAULT_OPTIONS: Final = {"pool_pre_ping": True, "pool_recycle": 3600}
_NOTIFY: Final = "SELECT pg_notify(channel, '') FROM unnest(CAST(:channels AS text[])) AS c (channel)"


class DatabaseBackend(JoinsChords, WatchedResults):
    """Results in Celery's tables, shared with its clients and workers.

    Args:
        url: ``db+<URL of SQLAlchemy>``; ``database://`` takes the URL from ``database_url``. Without a
        driver in the
            URL the first that is installed is taken: psycopg or psycopg2, mysqlclient or PyMySQL.
        options: Settings common to all drivers; of ``settings``, those that begin with ``database_``.

    Raises:
        ImproperlyConfigured: There is no URL, or one of the settings cannot be used.
    """

    def __init__(self, url: str, options: BackendOptions | None = None) -> None:
        self.options = options or BackendOptions()
        if self.options.compression:
            raise ImproperlyConfigured(
                f"result_compression is {self.options.compression!r}, but Celery's tables hold no "
                f"compressed results; unset it, or use another result backend"
            )
        settings = self.options.settings
        self._url = engine_url(_real_url(url, settings.get("database_url")))
        self.url = "db+" + self._url.render_as_string(hide_password=True)
        self.capabilities = BackendCapabilities("db", expires=False, graphs=True)
        self._codec = RowCodec(self.options)
        self._tables = Tables(settings.get("database_table_names") or {}, settings.get("database_table_schemas") or {})
        self._chords: DatabaseChords = DatabaseChords(
            self.options, ResultCodec(self.options), self._tables.joining, self._statement
        )
        engine_options = settings.get("database_engine_options")
        self._engines = Engines(
            self._url,
            _DEFAULT_OPTIONS if engine_options is None else engine_options,
            connect_timeout=self.options.connect_timeout,
            timeout=self.options.timeout,
            keep=not settings.get("database_short_lived_sessions", False),
            prepare=self._prepare,
        )

    def _prepare(self, engine: sa.Engine) -> None:
        """Hand a new engine to the user's callback, and make the tables."""
        callback = self.options.settings.get("database_engine_callback")
        if callback is not None:
            symbol_by_name(callback)(engine)
        make_tables(engine, self._tables)

    def expect(self, task_ids: Sequence[str]) -> str | None:
        return None

    def store_many(self, records: Sequence[ResultRecord]) -> None:
        if not records:
            return
        rows = [self._codec.to_row(record) for record in records]
        with self._statement() as engine:
            with engine.begin() as connection:
                store_rows(connection, self._tables.tasks, rows)
            if engine.dialect.name == "postgresql":
                self._notify(engine, [record.task_id for record in records])

    def _notify(self, engine: sa.Engine, task_ids: list[str]) -> None:
        """Tell who waits. After the commit and on its own: commits that notify wait for each other."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(_NOTIFY), {"channels": result_channels(task_ids)})

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        table, found = self._tables.tasks, {}
        wanted = list(dict.fromkeys(task_ids))
        if not wanted:
            return {}
        with self._statement() as engine, engine.connect() as connection:
            for start in range(0, len(wanted), _IDS):
                statement = sa.select(table).where(table.c.task_id.in_(wanted[start : start + _IDS]))
                for row in connection.execute(statement).mappings():
                    found[row["task_id"]] = self._decode(row)
        return found

    def open_watch(self) -> ReadingWatch:
        return ReadingWatch(self.load_many, open_news(self._url, self.options))

    def forget_many(self, task_ids: Sequence[str]) -> None:
        table, doomed = self._tables.tasks, list(task_ids)
        with self._statement() as engine, engine.begin() as connection:
            for start in range(0, len(doomed), _IDS):
                connection.execute(sa.delete(table).where(table.c.task_id.in_(doomed[start : start + _IDS])))

    def save_group(self, group_id: str, result: Any) -> None:
        table = self._tables.groups
        values = {"result": self._codec.dumps(result), "date_done": _now()}
        with self._statement() as engine, engine.begin() as connection:
            changed = connection.execute(sa.update(table).where(table.c.taskset_id == group_id).values(values))
            if not changed.rowcount:
                connection.execute(sa.insert(table), {"taskset_id": group_id, **values})

    def load_group(self, group_id: str) -> Any | None:
        table = self._tables.groups
        with self._statement() as engine, engine.connect() as connection:
            found = connection.execute(sa.select(table.c.result).where(table.c.taskset_id == group_id)).first()
        return None if found is None else self._codec.loads(found[0])

    def delete_group(self, group_id: str) -> None:
        table = self._tables.groups
        with self._statement() as engine, engine.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.taskset_id == group_id))

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        lifetime = graph_lifetime(self.options)
        expires_at = time.time() + lifetime if lifetime else None
        rows = [{"graph_id": id_, "graph": data, "expires_at": expires_at} for id_, data in graphs.items()]
        with self._statement() as engine, engine.begin() as connection:
            connection.execute(sa.insert(self._tables.joining.graphs), rows)

    def load_graph(self, graph_id: str) -> bytes | None:
        table = self._tables.joining.graphs
        unexpired = table.c.expires_at.is_(None) | (table.c.expires_at > time.time())
        with self._statement() as engine, engine.connect() as connection:
            found = connection.execute(sa.select(table.c.graph).where(table.c.graph_id == graph_id, unexpired)).first()
        return None if found is None else bytes(found[0])

    def sweep(self) -> int:
        expires, failures = self.options.expires, self.options.failure_expires
        table, removed = self._tables.tasks, 0
        with self._statement() as engine, engine.begin() as connection:
            if expires:
                others = table.c.status != "FAILURE" if failures is not None else sa.true()
                removed += connection.execute(
                    sa.delete(table).where(table.c.date_done < _now(-expires), others)
                ).rowcount
                groups = self._tables.groups
                removed += connection.execute(sa.delete(groups).where(groups.c.date_done < _now(-expires))).rowcount
            if failures:
                removed += connection.execute(
                    sa.delete(table).where(table.c.date_done < _now(-failures), table.c.status == "FAILURE")
                ).rowcount
            removed += self._chords.sweep(connection, time.time())
        return removed

    def close(self) -> None:
        self._engines.close()

    def _decode(self, row: Any) -> ResultRecord:
        try:
            return self._codec.from_row(row)
        except SerializationError as exc:
            raise BackendGetMetaError(
                f"the result of task {row['task_id']} in {self.url} cannot be read: {exc}",
                task_id=row["task_id"],
            ) from exc

    @contextmanager
    def _statement(self) -> Iterator[sa.Engine]:
        """The engine, with SQLAlchemy's errors turned into ours."""
        try:
            engine = self._engines.get()
            yield engine
        except errors.DBAPIError as exc:
            if isinstance(exc, errors.DataError):
                raise BackendStoreError(f"{self.url} refuses a result: {exc.orig}") from exc
            raise OperationalError(f"the result backend {self.url} failed: {exc.orig}") from exc
        except errors.SQLAlchemyError as exc:
            raise OperationalError(f"the result backend {self.url} failed: {exc}") from exc


def _real_url(url: str, default: str | None) -> str:
    """The URL for SQLAlchemy: behind ``db+``, or from the settings."""
    scheme, separator, rest = url.partition("+")
    if scheme in ("db", "database") and separator:
        return rest
    if url.partition("://")[0] in ("db", "database") and default:
        return default.removeprefix("db+")
    raise ImproperlyConfigured(
        "the result backend has no database: set result_backend to db+<URL>, for example "
        "db+postgresql://user:password@host/database, or set database_url"
    )


def _now(offset: float = 0.0) -> dt.datetime:
    """UTC without an offset, as Celery's columns have it."""
    return dt.datetime.fromtimestamp(time.time() + offset, dt.UTC).replace(tzinfo=None)
