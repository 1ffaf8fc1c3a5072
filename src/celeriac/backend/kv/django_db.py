"""Results in a database of Django, in the tables of django-celery-results and one of our own: ``django-db``.

Tables that are missing are made.  Clients that wait look again; the daily clean-up deletes what has expired.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from celeriac import states
from celeriac.backend.base import BackendOptions, ResultRecord
from celeriac.backend.keys import GROUP_PREFIX, OWN_PREFIX, TASK_PREFIX, split_key
from celeriac.backend.kv.columns import ResultColumn, iso, moment
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    DecodeError,
    ImproperlyConfigured,
    OperationalError,
)
from celeriac.serialization.json_types import dumps, loads

try:
    from django.apps.registry import Apps
    from django.conf import settings as django_settings
    from django.core.exceptions import ImproperlyConfigured as DjangoImproperlyConfigured
    from django.db import DatabaseError, Error, IntegrityError, InterfaceError, connections, models, transaction
except ImportError as exc:
    raise missing_package("Django", "django", "django") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.kv.driver import Codec

T = TypeVar("T")

_IDS_AT_ONCE: Final = 500
#: What tells one row from another that is put in its place.
_IDENTITY: Final = ("status", "result", "date_done", "version")
#: Extended fields that have a column, and fields that are kept in the column ``meta``.
_EXTENDED: Final = {"name": "task_name", "worker": "worker", "periodic_task_name": "periodic_task_name"}
_SERIALIZED: Final = {"args": "task_args", "kwargs": "task_kwargs"}
#: Connections of the parent, in a forked child: closing them would end the parent's.
_inherited: list[Any] = []


def _table(name: str, fields: Mapping[str, models.Field[Any, Any]]) -> type[models.Model]:
    """A model of a table that django-celery-results has, outside of the project's own models."""
    meta = type("Meta", (), {"apps": _APPS, "app_label": "celeriac_results", "db_table": name})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, **fields})


_APPS: Final = Apps()
_TASKS: Final = _table(
    "django_celery_results_taskresult",
    {
        "task_id": models.CharField(max_length=255, unique=True),
        "periodic_task_name": models.CharField(null=True, max_length=255),
        "task_name": models.CharField(null=True, max_length=255, db_index=True),
        "task_args": models.TextField(null=True),
        "task_kwargs": models.TextField(null=True),
        "status": models.CharField(max_length=50, db_index=True),
        "worker": models.CharField(max_length=100, null=True, db_index=True),
        "content_type": models.CharField(max_length=128),
        "content_encoding": models.CharField(max_length=64),
        "result": models.TextField(null=True),
        "date_created": models.DateTimeField(db_index=True),
        "date_started": models.DateTimeField(null=True),
        "date_done": models.DateTimeField(db_index=True),
        "traceback": models.TextField(null=True),
        "meta": models.TextField(null=True),
    },
)
_GROUPS: Final = _table(
    "django_celery_results_groupresult",
    {
        "group_id": models.CharField(max_length=255, unique=True),
        "date_created": models.DateTimeField(db_index=True),
        "date_done": models.DateTimeField(db_index=True),
        "content_type": models.CharField(max_length=128),
        "content_encoding": models.CharField(max_length=64),
        "result": models.TextField(null=True),
    },
)
_VALUES: Final = _table(
    "celeriac_values",
    {
        "name": models.CharField(max_length=255, unique=True),
        "data": models.BinaryField(),
        # Another one with each change: not every database compares what is binary.
        "version": models.CharField(max_length=32),
        "expires_at": models.FloatField(null=True, db_index=True),
    },
)
#: Of each prefix of keys: the table, and the column of ids.
_TABLES: Final = {TASK_PREFIX: (_TASKS, "task_id"), GROUP_PREFIX: (_GROUPS, "group_id"), OWN_PREFIX: (_VALUES, "name")}


class RowCodec:
    """Results as rows.

    Args:
        options: Serializer, which has to give text, and accepted content types.

    Raises:
        ImproperlyConfigured: The serializer gives bytes.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._column = ResultColumn(options)
        serializer = self._column.serializer
        if serializer.content_encoding != "utf-8":
            raise ImproperlyConfigured(
                f"result_serializer is {options.serializer!r}, but the tables of django-db hold text: use json or yaml"
            )
        self._content = {"content_type": serializer.content_type, "content_encoding": serializer.content_encoding}

    def encode(self, record: ResultRecord) -> dict[str, Any]:
        """The columns of a record."""
        extra = dict(record.extra or {})
        now = datetime.now(UTC)
        row: dict[str, Any] = {
            **self._content,
            "status": record.status,
            "result": self._column.dump(record.result),
            "traceback": record.traceback,
            "date_done": _kept(moment(record.date_done) or now),
            **{column: extra.pop(name, None) for name, column in _EXTENDED.items()},
            **{column: _text(extra.pop(name, None)) for name, column in _SERIALIZED.items()},
        }
        if record.status == states.STARTED:
            row["date_started"] = _kept(now)
        meta = {"children": record.children, "group_id": record.group_id, "parent_id": record.parent_id, **extra}
        row["meta"] = dumps({name: value for name, value in meta.items() if name == "children" or value is not None})
        row["meta"] = row["meta"].decode()
        return row

    def decode(self, data: Mapping[str, Any], task_id: str) -> ResultRecord:
        """The record of a row."""
        status = data["status"]
        try:
            result = self._column.load(data["result"], status)
            meta = loads((data["meta"] or "{}").encode())
        except (DecodeError, ValueError) as error:
            raise BackendGetMetaError(
                f"what is stored for task {task_id} cannot be read: {error}", task_id=task_id
            ) from error
        children, group_id, parent_id = (meta.pop(name, None) for name in ("children", "group_id", "parent_id"))
        extra = {name: data[column] for name, column in _EXTENDED.items() if data[column] is not None}
        for name, column in _SERIALIZED.items():
            if data[column] is not None:
                extra[name] = _value(data[column])
        done = iso(data["date_done"]) if status in _WITH_DATE else None
        return ResultRecord(
            task_id, status, result, data["traceback"], children, done, group_id, parent_id, {**extra, **meta} or None
        )

    def encode_group(self, result: Any, group_id: str) -> dict[str, Any]:
        """The columns of a saved group."""
        return {**self._content, "result": self._column.dump(result), "date_done": _kept(datetime.now(UTC))}

    def decode_group(self, data: Mapping[str, Any], group_id: str) -> Any | None:
        """The tuple form of a saved group."""
        return self._column.load(data["result"])


_WITH_DATE: Final = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"})


def _text(value: Any) -> str | None:
    return None if value is None else dumps(value).decode()


def _value(text: str) -> Any:
    try:
        return loads(text.encode())
    except ValueError:
        # django-celery-results keeps what tasks were called with as Python shows it.
        return text


def _kept(at: datetime) -> datetime:
    """A time as Django's databases take it."""
    return at if django_settings.USE_TZ else at.replace(tzinfo=None)


class DjangoDatabaseDriver(Driver):
    """The tables in a database.

    Args:
        alias: Its name in ``DATABASES``.
    """

    name = "django-db"
    expires = False
    longest_pause = 0.2

    def __init__(self, alias: str) -> None:
        self.url = f"django-db://{alias}"
        self._alias = alias
        self._pid = os.getpid()
        self._has_tables = False

    def codec(self, options: BackendOptions) -> Codec:
        return RowCodec(options)

    def _rows(self, prefix: str) -> tuple[Any, str]:
        self._prepare()
        model, column = _TABLES[prefix]
        return model._default_manager.using(self._alias), column

    def _prepare(self) -> None:
        """See to a usable connection of this thread in this process, and to the tables."""
        connection: Any = connections[self._alias]
        if self._pid != os.getpid():
            self._pid = os.getpid()
            if connection.connection is not None:
                _inherited.append(connection.connection)
                connection.connection = None
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        if not self._has_tables:
            present = set(connection.introspection.table_names())
            for model, _ in _TABLES.values():
                if model._meta.db_table not in present:
                    self._create(connection, model)
            self._has_tables = True

    def _create(self, connection: Any, model: type[models.Model]) -> None:
        try:
            with connection.schema_editor() as editor:
                editor.create_model(model)
        except DatabaseError:
            # Another process was faster.
            if model._meta.db_table not in connection.introspection.table_names():
                raise

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        return self._outside_of_loops(lambda: self._read(keys))

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        return self._outside_of_loops(lambda: self._write(entry, expecting))

    def write_many(self, entries: Sequence[Entry]) -> None:
        self._outside_of_loops(lambda: self._write_many(entries))

    def create_many(self, entries: Sequence[Entry]) -> None:
        self._outside_of_loops(lambda: self._create_many(entries))

    def delete(self, keys: Sequence[str]) -> None:
        self._outside_of_loops(lambda: self._delete(keys))

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        return self._outside_of_loops(lambda: self._sweep(lifetimes))

    def _outside_of_loops(self, operation: Callable[[], T]) -> T:
        """Run an operation; in a thread of its own where Django would refuse it, which is beside an event loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return operation()

        def run() -> T:
            try:
                return operation()
            finally:
                connections[self._alias].close()

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result()

    def _read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        by_prefix: dict[str, dict[str, str]] = {}
        for key in keys:
            prefix, id_ = split_key(key)
            by_prefix.setdefault(prefix, {})[id_] = key
        for prefix, ids in by_prefix.items():
            rows, column = self._rows(prefix)
            for page in pages(list(ids), _IDS_AT_ONCE):
                for row in rows.filter(**{f"{column}__in": list(page)}).values():
                    data = bytes(row["data"]) if prefix == OWN_PREFIX else row
                    found[ids[row[column]]] = Stored(data, row)
        return found

    def _write(self, entry: Entry, expecting: Any) -> bool:
        prefix, id_ = split_key(entry.key)
        rows, column = self._rows(prefix)
        row = _row(prefix, entry)
        if expecting is ABSENT:
            return self._insert(rows, {column: id_, **row})
        if expecting is not ANY:
            before = {name: expecting[name] for name in _IDENTITY if name in expecting}
            return bool(rows.filter(**{column: id_}, **before).update(**row))
        while not rows.filter(**{column: id_}).update(**row):
            if self._insert(rows, {column: id_, **row}):
                break
        return True

    def _insert(self, rows: Any, row: Mapping[str, Any]) -> bool:
        try:
            # In a transaction of its own, which may be a part of the caller's.
            with transaction.atomic(using=self._alias):
                rows.create(**row, **_created(rows.model))
        except IntegrityError:
            return False
        return True

    def _write_many(self, entries: Sequence[Entry]) -> None:
        self._prepare()
        with transaction.atomic(using=self._alias):
            for entry in entries:
                self._write(entry, ANY)

    def _create_many(self, entries: Sequence[Entry]) -> None:
        if not connections[self._alias].features.supports_ignore_conflicts:
            for entry in entries:
                self._write(entry, ABSENT)
            return
        by_prefix: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            prefix, id_ = split_key(entry.key)
            by_prefix.setdefault(prefix, []).append({_TABLES[prefix][1]: id_, **_row(prefix, entry)})
        for prefix, new in by_prefix.items():
            rows, _ = self._rows(prefix)
            made = [rows.model(**row, **_created(rows.model)) for row in new]
            rows.bulk_create(made, batch_size=_IDS_AT_ONCE, ignore_conflicts=True)

    def _delete(self, keys: Sequence[str]) -> None:
        by_prefix: dict[str, list[str]] = {}
        for key in keys:
            prefix, id_ = split_key(key)
            by_prefix.setdefault(prefix, []).append(id_)
        for prefix, ids in by_prefix.items():
            rows, column = self._rows(prefix)
            for page in pages(ids, _IDS_AT_ONCE):
                rows.filter(**{f"{column}__in": list(page)}).delete()

    def _sweep(self, lifetimes: Mapping[str, float]) -> int:
        values, _ = self._rows(OWN_PREFIX)
        # They know when they expire.
        removed = int(values.filter(expires_at__lte=time.time()).delete()[0])
        for key, seconds in lifetimes.items():
            prefix, _ = split_key(key)
            if prefix != OWN_PREFIX:
                rows, _ = self._rows(prefix)
                before = _kept(datetime.now(UTC) - timedelta(seconds=seconds))
                removed += rows.filter(date_done__lte=before).delete()[0]
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except DjangoImproperlyConfigured as exc:
            raise ImproperlyConfigured(f"results in {self.url} need Django's settings: {exc}") from exc
        except (InterfaceError, DatabaseError) as exc:
            raise OperationalError(f"{self.url} failed: {exc}") from exc
        except Error as exc:
            raise BackendStoreError(f"{self.url} refused: {exc}") from exc

    def close(self) -> None:
        connections[self._alias].close()


def _row(prefix: str, entry: Entry) -> Mapping[str, Any]:
    """The columns of something."""
    if prefix != OWN_PREFIX:
        data: Mapping[str, Any] = entry.data
        return data
    expires_at = None if entry.seconds is None else time.time() + entry.seconds
    return {"data": entry.data, "version": uuid.uuid4().hex, "expires_at": expires_at}


def _created(model: type[models.Model]) -> dict[str, Any]:
    """What a new row has that a change of it leaves alone."""
    return {} if model is _VALUES else {"date_created": _kept(datetime.now(UTC))}


def open_driver(url: str, options: BackendOptions) -> DjangoDatabaseDriver:
    """``django-db`` for the default database, or ``django-db://alias``."""
    return DjangoDatabaseDriver(url.partition("://")[2].strip("/") or "default")
