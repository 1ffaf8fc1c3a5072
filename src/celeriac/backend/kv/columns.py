"""Records in stores that have a column, or a field, for each of their parts, as Celery's document stores do."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.backend.base import BackendOptions, ResultRecord
from celeriac.exceptions import BackendGetMetaError, DecodeError, EncodeError, ImproperlyConfigured
from celeriac.serialization.failures import decode_exception, encode_exception
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

_KNOWN = frozenset({"_id", "status", "result", "date_done", "traceback", "children", "group_id", "parent_id"})


class ResultColumn:
    """The column of results: serialized, as text where the serializer gives text.

    Args:
        options: Serializer and accepted content types.

    Raises:
        ImproperlyConfigured: The serializer is unknown, or results are to be compressed.
    """

    def __init__(self, options: BackendOptions) -> None:
        if options.compression:
            raise ImproperlyConfigured(
                f"result_compression is {options.compression!r}, but the columns of this result backend hold no "
                f"compressed results; unset it"
            )
        self.serializer = registry.by_name(options.serializer)
        self._accept = options.accept

    def dump(self, result: Any) -> str | bytes:
        """The column of a result; exceptions are encoded."""
        if isinstance(result, BaseException):
            result = encode_exception(result, self.serializer.name)
        data = self.serializer.dumps(result)
        return data.decode() if self.serializer.content_encoding == "utf-8" else data

    def load(self, column: Any, status: str = states.SUCCESS) -> Any:
        """The result of a column."""
        if column is None:
            return None
        if not isinstance(column, str | bytes | bytearray | memoryview):
            raise DecodeError(f"a result is kept as text or bytes, not {column!r:.200}")
        data = column.encode() if isinstance(column, str) else bytes(column)
        result = registry.loads(data, self.serializer.content_type, self.serializer.content_encoding, self._accept)
        if status in states.EXCEPTION_STATES and result is not None:
            return decode_exception(result)
        return result


class DocumentCodec:
    """Results as documents: MongoDB's in Celery's form.

    Args:
        options: Serializer and accepted content types.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._column = ResultColumn(options)

    def encode(self, record: ResultRecord) -> dict[str, Any]:
        """A document without its id."""
        document: dict[str, Any] = {
            "status": record.status,
            "result": self._column.dump(record.result),
            "traceback": record.traceback,
            "children": record.children,
            "date_done": moment(record.date_done),
        }
        if record.group_id is not None:
            document["group_id"] = record.group_id
        if record.parent_id is not None:
            document["parent_id"] = record.parent_id
        return {**document, **(record.extra or {})}

    def decode(self, data: Mapping[str, Any], task_id: str) -> ResultRecord:
        """A record from its document."""
        try:
            status = data.get("status")
            if not isinstance(status, str):
                raise DecodeError(f"a result has a status, not {status!r:.200}")
            result = self._column.load(data.get("result"), status)
        except DecodeError as error:
            raise BackendGetMetaError(
                f"what is stored for task {task_id} cannot be read: {error}", task_id=task_id
            ) from error
        extra = {key: value for key, value in data.items() if key not in _KNOWN}
        return ResultRecord(
            task_id,
            status,
            result,
            data.get("traceback"),
            data.get("children"),
            iso(data.get("date_done")),
            data.get("group_id"),
            data.get("parent_id"),
            extra or None,
        )

    def encode_group(self, result: Any, group_id: str) -> dict[str, Any]:
        """The ids of the members, which is all that Celery keeps here; the tuple form where that says more."""
        return {"result": self._column.dump(_ids(result, group_id) or result), "date_done": dt.datetime.now(dt.UTC)}

    def decode_group(self, data: Mapping[str, Any], group_id: str) -> Any | None:
        """The tuple form of a group."""
        kept = self._column.load(data.get("result"))
        if isinstance(kept, list) and all(isinstance(id_, str) for id_ in kept):
            return [[group_id, None], [[[id_, None], None] for id_ in kept]]
        return kept


def _ids(result: Any, group_id: str) -> list[str] | None:
    """Ids of the members of a group, or None if they do not say all about it."""
    match result:
        case [[identity, None], members] if identity == group_id and members:
            ids = [member[0][0] for member in members]
            return ids if [[[id_, None], None] for id_ in ids] == _lists(members) else None
    return None


def _lists(value: Any) -> Any:
    """The same with lists in place of tuples."""
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def moment(text: str | None) -> dt.datetime | None:
    """A time as it is kept."""
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise EncodeError(f"date_done is a time in ISO 8601, not {text!r}") from error
    return found.astimezone(dt.UTC) if found.tzinfo else found.replace(tzinfo=dt.UTC)


def iso(kept: Any) -> str | None:
    """A time from what is kept; those without time zone are in UTC."""
    if isinstance(kept, dt.datetime):
        return (kept if kept.tzinfo else kept.replace(tzinfo=dt.UTC)).isoformat()
    return kept if isinstance(kept, str) else None
