"""Results as rows of Celery's table in Cassandra: a column for each part of a result, serialized on its own.

The form is what Celery 5.7 writes: ``result``, ``traceback`` and ``children`` are each encoded by the result
serializer, and compressed, also where they are None; ``date_done`` is part of the key, so that every state of a task
has a row, and the latest one counts.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.backend.kv.columns import iso, moment
from celeriac.backend.kv.driver import BytesCodec
from celeriac.exceptions import BackendGetMetaError, DecodeError
from celeriac.serialization.failures import decode_exception, encode_exception

if TYPE_CHECKING:
    from celeriac.backend.base import BackendOptions


class Row(NamedTuple):
    """A row of Celery's table, without the id of its task."""

    status: str
    result: bytes | None
    date_done: dt.datetime
    traceback: bytes | None
    children: bytes | None


class Kept(NamedTuple):
    """A result in both its forms.

    Attributes:
        data: All of it, which is what counts.
        row: What Celery has columns for.
    """

    data: bytes
    row: Row


class RowCodec:
    """Results for both tables, and from either.

    Args:
        options: Serializer, accepted content types and compression.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._bytes = BytesCodec(options)
        self._serializer = options.serializer

    def encode(self, record: ResultRecord) -> Kept:
        """Both forms of a record."""
        result = record.result
        if isinstance(result, BaseException):
            result = encode_exception(result, self._serializer)
        encode = self._bytes.encode_value
        row = Row(
            record.status,
            encode(result),
            in_milliseconds(moment(record.date_done) or dt.datetime.now(dt.UTC)),
            encode(record.traceback),
            encode(record.children),
        )
        return Kept(self._bytes.encode(record), row)

    def decode(self, data: bytes | Row, task_id: str) -> ResultRecord:
        """A record from what was read, of whichever table."""
        if not isinstance(data, Row):
            return self._bytes.decode(data, task_id)
        try:
            if not isinstance(data.status, str):
                raise DecodeError(f"a result has a status, not {data.status!r:.200}")
            result = self._loads(data.result)
            if data.status in states.EXCEPTION_STATES and result is not None:
                result = decode_exception(result)
            traceback, children = self._loads(data.traceback), self._loads(data.children)
        except DecodeError as error:
            raise BackendGetMetaError(
                f"what is stored for task {task_id} cannot be read: {error}", task_id=task_id
            ) from error
        return ResultRecord(task_id, data.status, result, traceback, children, iso(data.date_done))

    def _loads(self, column: bytes | None) -> Any:
        return None if column is None else self._bytes.decode_value(bytes(column))

    def encode_group(self, result: Any, group_id: str) -> bytes:
        """The stored form of a saved group, for which Celery has no table."""
        return self._bytes.encode_group(result, group_id)

    def decode_group(self, data: bytes, group_id: str) -> Any | None:
        """The tuple form of a saved group."""
        return self._bytes.decode_group(data, group_id)


def in_milliseconds(moment: dt.datetime) -> dt.datetime:
    """A time as Cassandra keeps it: no finer, and those without time zone are in UTC."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
