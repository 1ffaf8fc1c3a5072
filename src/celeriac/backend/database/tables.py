"""Celery's tables of results, and records as their rows.  It runs no statements.

The columns are Celery's: ``result``, ``children``, ``args``, ``kwargs`` and ``stamps`` hold the value as the
result serializer writes it; ``date_done`` is UTC without an offset; ``group_id`` and ``parent_id`` are not
kept.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import BackendOptions, ResultRecord
from celeriac.backend.database.chords import ChordTables
from celeriac.drivers.sql import large_binary, large_text, sa
from celeriac.serialization.failures import decode_exception, encode_exception
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue")
_SERIALIZED = frozenset({"args", "kwargs"})
_PICKLE = "application/x-python-serialize"


class Tables:
    """Celery's two tables, and ours of chords.

    Args:
        names: ``database_table_names``: ``task`` and ``group``.
        schemas: ``database_table_schemas``: ``task`` and ``group``.
    """

    def __init__(self, names: Mapping[str, str], schemas: Mapping[str, str]) -> None:
        self.metadata = sa.MetaData()
        self.tasks = sa.Table(
            names.get("task", "celery_taskmeta"),
            self.metadata,
            sa.Column("id", sa.Integer, sa.Sequence("task_id_sequence"), primary_key=True),
            sa.Column("task_id", sa.String(155), unique=True),
            sa.Column("status", sa.String(50), default=states.PENDING),
            sa.Column("result", large_binary()),
            sa.Column("date_done", sa.DateTime, index=True),
            sa.Column("traceback", large_text()),
            sa.Column("children", large_binary()),
            sa.Column("name", sa.String(155)),
            sa.Column("args", large_binary()),
            sa.Column("kwargs", large_binary()),
            sa.Column("worker", sa.String(155)),
            sa.Column("retries", sa.Integer),
            sa.Column("queue", sa.String(155)),
            sa.Column("stamps", large_binary()),
            schema=schemas.get("task"),
            sqlite_autoincrement=True,
        )
        self.groups = sa.Table(
            names.get("group", "celery_tasksetmeta"),
            self.metadata,
            sa.Column("id", sa.Integer, sa.Sequence("taskset_id_sequence"), primary_key=True),
            sa.Column("taskset_id", sa.String(155), unique=True),
            sa.Column("result", large_binary()),
            sa.Column("date_done", sa.DateTime, index=True),
            schema=schemas.get("group"),
            sqlite_autoincrement=True,
        )
        self.joining = ChordTables(self.metadata, schemas.get("group"))


class RowCodec:
    """Records as rows and rows as records.

    Args:
        options: Serializer and accepted content types.

    Raises:
        ImproperlyConfigured: The serializer is unknown.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._serializer = registry.by_name(options.serializer)
        self._accept = options.accept

    def to_row(self, record: ResultRecord) -> dict[str, Any]:
        """The columns of a record."""
        result = record.result
        if isinstance(result, BaseException):
            result = encode_exception(result, self._serializer.name)
        extra = record.extra or {}
        row = {
            "task_id": record.task_id,
            "status": record.status,
            "result": self._serializer.dumps(result),
            "date_done": to_naive_utc(record.date_done),
            "traceback": record.traceback,
            "children": self._serializer.dumps(record.children) if record.children else None,
        }
        for name in _EXTENDED:
            value = extra.get(name)
            row[name] = self._serializer.dumps(value) if value is not None and name in _SERIALIZED else value
        row["stamps"] = self._stamps(extra)
        return row

    def _stamps(self, extra: Mapping[str, Any]) -> bytes | None:
        headers = extra.get("stamped_headers")
        if not headers:
            return None
        stamps = {name: extra[name] for name in headers if name in extra}
        return self._serializer.dumps({"stamped_headers": list(headers), "stamps": stamps})

    def from_row(self, row: Mapping[str, Any]) -> ResultRecord:
        """The record of a row.

        Raises:
            SerializationError: A column does not hold what it should.
        """
        status, result = row["status"], self.loads(row["result"])
        if status in states.EXCEPTION_STATES and result is not None:
            result = decode_exception(result)
        done = row["date_done"]
        return ResultRecord(
            row["task_id"],
            status,
            result,
            row["traceback"],
            self.loads(row["children"]),
            None if done is None else done.replace(tzinfo=dt.UTC).isoformat(),
            extra=self._extra(row),
        )

    def _extra(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        extra = {
            name: self.loads(row[name]) if name in _SERIALIZED else row[name]
            for name in _EXTENDED
            if row[name] is not None
        }
        stamps = self.loads(row["stamps"])
        if isinstance(stamps, dict):
            extra["stamped_headers"] = stamps.get("stamped_headers")
            extra.update(stamps.get("stamps") or {})
        return extra or None

    def dumps(self, value: Any) -> bytes:
        """The stored form of a saved group."""
        return self._serializer.dumps(value)

    def loads(self, data: bytes | None) -> Any:
        """The value of a column."""
        if data is None:
            return None
        data = bytes(data)
        serializer = self._serializer
        # Written before results had a serializer here: pickle's first bytes, which no text begins with.
        is_old = data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        if is_old and "msgpack" not in serializer.content_type:
            return registry.loads(data, _PICKLE, "binary", self._accept)
        return registry.loads(data, serializer.content_type, serializer.content_encoding, self._accept)


def to_naive_utc(text: str | None) -> dt.datetime | None:
    """A time as the column keeps it."""
    if text is None:
        return None
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
