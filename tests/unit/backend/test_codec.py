"""The stored form of results."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.backend.base import BackendOptions, ResultRecord
from celeriac.backend.codec import COMPRESSED, ResultCodec
from celeriac.exceptions import BackendGetMetaError, ContentDisallowed, EncodeError, ImproperlyConfigured
from celeriac.serialization import registry

DONE = "2026-11-20T11:17:53.271986+00:00"
#: As Celery 5.7.0 wrote it.
RECORDED = (
    b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], '
    b'"date_done": "2026-11-20T11:17:53.271986+00:00", "task_id": "9acf"}'
)


def codec(serializer: str = "json", **options: Any) -> ResultCodec:
    accept = frozenset({registry.by_name(serializer).content_type})
    return ResultCodec(BackendOptions(serializer=serializer, accept=accept, **options))


def test_form_is_that_of_celery_byte_by_byte() -> None:
    assert codec().encode(ResultRecord("9acf", "SUCCESS", 5, None, [], DONE)) == RECORDED


def test_recorded_form_is_read() -> None:
    assert codec().decode(RECORDED, "9acf") == ResultRecord("9acf", "SUCCESS", 5, None, [], DONE)


def test_optional_fields_come_in_order() -> None:
    record = ResultRecord("t", "PROGRESS", {"n": 1}, "tb", None, None, "g", "p", {"name": "x", "stamp": [1]})
    stored = json.loads(codec().encode(record))
    assert list(stored) == [
        "status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "name", "stamp", "task_id",
    ]  # fmt: skip
    assert codec().decode(codec().encode(record), "t") == record


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_records_survive(serializer: str, compression: str | None) -> None:
    subject = codec(serializer, compression=compression)
    record = ResultRecord("t", "SUCCESS", {"value": ["č", 1.5, None]}, None, [[["c", None], None]], DONE, "g", "p")
    data = subject.encode(record)
    assert data.startswith(COMPRESSED) is (compression is not None)
    assert subject.decode(data, "t") == record
    assert subject.decode_value(subject.encode_value({"result": [1]})) == {"result": [1]}


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
@pytest.mark.parametrize("status", ["FAILURE", "RETRY", "REVOKED"])
def test_exceptions_are_rebuilt(serializer: str, status: str) -> None:
    subject = codec(serializer)
    got = subject.decode(subject.encode(ResultRecord("t", status, KeyError("x", 2), "tb")), "t")
    assert type(got.result) is KeyError
    assert got.result.args == ("x", 2)
    assert got.traceback == "tb"


def test_stored_failure_is_that_of_celery() -> None:
    stored = json.loads(codec().encode(ResultRecord("t", "FAILURE", ValueError("bad", 3))))
    assert stored["result"] == {"exc_type": "ValueError", "exc_message": ["bad", 3], "exc_module": "builtins"}


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml", "msgpack"])
def test_success_can_be_told_by_its_mark(serializer: str) -> None:
    subject = codec(serializer)
    assert subject.success_mark is not None
    mark, last = subject.success_mark

    def marked(record: ResultRecord) -> bool:
        data = subject.encode(record)
        return mark in (data if last < 0 else data[: last + 1])

    assert marked(ResultRecord("t", "SUCCESS", "x" * 1000, None, [], DONE))
    assert marked(ResultRecord("t", "SUCCESS", None, extra={"name": "n"}))
    for status in ("STARTED", "FAILURE", "RETRY", "PROGRESS"):
        sly = mark.decode("latin-1")
        assert not marked(ResultRecord("t", status, sly, sly, [sly], DONE))


def test_compressed_success_has_no_mark() -> None:
    assert codec(compression="gzip").success_mark is None


@pytest.mark.parametrize("data", [b"", b"{truncated", b"[]", b"5", b'{"result": 1}', b'{"status": 5}', COMPRESSED])
def test_unreadable_result_is_a_backend_error(data: bytes) -> None:
    with pytest.raises(BackendGetMetaError) as caught:
        codec().decode(data, "the-task")
    assert caught.value.task_id == "the-task"


def test_serializer_that_is_not_accepted_is_refused() -> None:
    subject = ResultCodec(BackendOptions(serializer="pickle", accept=frozenset({"application/json"})))
    with pytest.raises(ContentDisallowed):
        subject.decode(pickle.dumps({"status": "SUCCESS"}), "t")


def test_unencodable_result_says_where() -> None:
    with pytest.raises(EncodeError, match="object"):
        codec().encode(ResultRecord("t", "SUCCESS", {"a": [object()]}))


def test_unknown_serializer_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured):
        ResultCodec(BackendOptions(serializer="no-such"))


texts = st.text(max_size=30)


@given(texts, texts, st.none() | texts, st.none() | st.lists(texts, max_size=2), st.none() | texts, texts)
def test_pieces_make_the_same_bytes_as_the_serializer(
    task_id: str, status: str, traceback: str | None, children: list[str] | None, parent: str | None, result: str
) -> None:
    record = ResultRecord(task_id, status, result, traceback, children, None, None, parent)
    subject = codec()
    assert subject._encode_json(record, result) == subject._encode_meta(record, result)
