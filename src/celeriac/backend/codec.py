"""Result records in the form in which key-value stores keep them, and back.

The form is Celery's: one serialized mapping with the keys status, result, traceback, children, date_done, group_id and
parent_id where there are any, extended fields, task_id; compressed ones after a marker.  It stores nothing.
"""

from __future__ import annotations

from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.backend.base import BackendOptions, ChordPart, ResultRecord
from celeriac.exceptions import BackendGetMetaError, DecodeError
from celeriac.serialization.codecs import JSON
from celeriac.serialization.compression import compress, decompress
from celeriac.serialization.failures import decode_exception, encode_exception
from celeriac.serialization.json_types import dumps as dumps_json
from celeriac.serialization.serializers import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Before a compressed payload: this, the content type of the method, and a zero byte.
COMPRESSED: Final = b"\x00celery-compressed\x00"

_KNOWN = frozenset({"status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "task_id"})
_JSON_TYPE = "application/json"
#: How a stored SUCCESS can be told without decoding it: bytes that then occur, and the last position (-1 is any) at
#: which a byte of theirs may be.  The status is the first key but in YAML, which sorts its keys and never puts such a
#: line into a scalar.
_SUCCESS_MARKS: Final[Mapping[str, tuple[bytes, int]]] = {
    _JSON_TYPE: (b'{"status": "SUCCESS"', 19),
    "application/x-python-serialize": (b"\x06status\x94\x8c\x07SUCCESS", 48),
    "application/x-msgpack": (b"\xa6status\xa7SUCCESS", 20),
    "application/x-yaml": (b"\nstatus: SUCCESS\n", -1),
}


class ResultCodec:
    """Encodes and decodes with the serializer and compression of a backend.

    Args:
        options: Serializer, accepted content types and compression.

    Attributes:
        success_mark: See `_SUCCESS_MARKS`; None when a stored SUCCESS can be told by decoding it only.

    Raises:
        ImproperlyConfigured: The serializer is unknown.
    """

    def __init__(self, options: BackendOptions) -> None:
        self._serializer = registry.by_name(options.serializer)
        self._accept = options.accept
        self._compression = options.compression
        content_type = self._serializer.content_type
        self._is_plain_json = content_type == _JSON_TYPE and self._serializer is JSON
        self.success_mark = None if options.compression else _SUCCESS_MARKS.get(content_type)

    # --- records

    def encode(self, record: ResultRecord) -> bytes:
        """The stored form of a record.

        Raises:
            EncodeError: The serializer cannot carry its result.
        """
        result = record.result
        if isinstance(result, BaseException):
            result = encode_exception(result, self._serializer.name)
        data = self._encode_json(record, result) if self._is_plain_json else self._encode_meta(record, result)
        return data if self._compression is None else _compressed(data, self._compression)

    def _encode_meta(self, record: ResultRecord, result: Any) -> bytes:
        meta: dict[str, Any] = {
            "status": record.status,
            "result": result,
            "traceback": record.traceback,
            "children": record.children,
            "date_done": record.date_done,
        }
        if record.group_id is not None:
            meta["group_id"] = record.group_id
        if record.parent_id is not None:
            meta["parent_id"] = record.parent_id
        if record.extra:
            meta.update(record.extra)
        meta["task_id"] = record.task_id
        return self._serializer.dumps(meta)

    def _encode_json(self, record: ResultRecord, result: Any) -> bytes:
        """The same bytes by pieces: most of them are constant, and none needs a dict."""
        if record.extra:
            return self._encode_meta(record, result)
        quote = encode_basestring_ascii
        traceback, date_done = record.traceback, record.date_done
        tail = f', "date_done": {quote(date_done) if date_done is not None else "null"}'
        if record.group_id is not None:
            tail += f', "group_id": {quote(record.group_id)}'
        if record.parent_id is not None:
            tail += f', "parent_id": {quote(record.parent_id)}'
        try:
            value = b"null" if result is None else dumps_json(result)
            children = record.children
            parts = (
                b'{"status": ', quote(record.status).encode(), b', "result": ', value,
                b', "traceback": ', b"null" if traceback is None else quote(traceback).encode(),
                b', "children": ',
                b"null" if children is None else dumps_json(children) if children else b"[]",
                tail.encode(), b', "task_id": ', quote(record.task_id).encode(), b"}",
            )  # fmt: skip
        except (TypeError, ValueError, RecursionError):
            # The serializer says what is wrong, and where.
            return self._encode_meta(record, result)
        return b"".join(parts)

    def decode(self, data: bytes, task_id: str) -> ResultRecord:
        """A record from its stored form.

        Raises:
            BackendGetMetaError: The data is not such a form.
            ContentDisallowed: The serializer is not accepted.
            SecurityError: A stored exception names something that is no exception.
        """
        try:
            meta = self._loads(data)
            if not isinstance(meta, dict) or not isinstance(meta.get("status"), str):
                raise DecodeError(f"a result is a mapping with a status, not {meta!r:.200}")
            status, result = meta["status"], meta.get("result")
            if status in states.EXCEPTION_STATES and result is not None:
                result = decode_exception(result)
        except DecodeError as error:
            raise BackendGetMetaError(
                f"what is stored for task {task_id} cannot be read: {error}", task_id=task_id
            ) from error
        extra = None
        if not meta.keys() <= _KNOWN:
            extra = {key: value for key, value in meta.items() if key not in _KNOWN}
        return ResultRecord(
            str(meta.get("task_id") or task_id),
            status,
            result,
            meta.get("traceback"),
            meta.get("children"),
            meta.get("date_done"),
            meta.get("group_id"),
            meta.get("parent_id"),
            extra,
        )

    # --- parts of chords

    def encode_part(self, part: ChordPart) -> bytes:
        """The stored form of a chord's part, Celery's: ``[1, task id, state, result]``.

        Raises:
            EncodeError: The serializer cannot carry its result.
        """
        result = part.result
        if isinstance(result, BaseException):
            result = encode_exception(result, self._serializer.name)
        return self.encode_value([1, part.task_id, part.state, result])

    def decode_part(self, data: bytes, index: int | None = None) -> ChordPart:
        """A part from its stored form.

        Raises:
            DecodeError: The data is not such a form.
        """
        value = self._loads(data)
        if not (isinstance(value, list | tuple) and len(value) == 4 and isinstance(value[1], str)):
            raise DecodeError(f"a part of a chord is [1, task id, state, result], not {value!r:.200}")
        _, task_id, state, result = value
        if state in states.EXCEPTION_STATES and result is not None:
            result = decode_exception(result)
        return ChordPart(task_id, index, state, result)

    # --- other values

    def encode_value(self, value: Any) -> bytes:
        """The stored form of anything else, such as a saved group."""
        data = self._serializer.dumps(value)
        return data if self._compression is None else _compressed(data, self._compression)

    def decode_value(self, data: bytes) -> Any:
        """Undo `encode_value`."""
        return self._loads(data)

    def _loads(self, data: bytes) -> Any:
        if data.startswith(COMPRESSED):
            content_type, _, data = data[len(COMPRESSED) :].partition(b"\x00")
            data = decompress(data, content_type.decode("ascii", "replace"))
        serializer = self._serializer
        return registry.loads(data, serializer.content_type, serializer.content_encoding, self._accept)


def _compressed(data: bytes, method: str) -> bytes:
    packed, content_type = compress(data, method)
    return COMPRESSED + content_type.encode("ascii") + b"\x00" + packed
