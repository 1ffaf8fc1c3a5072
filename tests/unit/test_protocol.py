from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, InvalidTaskError
from celeriac.message import Message
from celeriac.protocol import MessageTemplate, decode_payload, encode_task, header_template, normalize
from celeriac.serialization.compression import compress
from celeriac.serialization.serializers import registry

JSON = frozenset({"application/json"})
EMBED: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
V1 = {
    "task": "proj.add", "id": "id-1", "args": [2, 3], "kwargs": {"z": 1}, "group": None, "group_index": None,
    "retries": 2, "eta": "2030-01-01T00:00:00+00:00", "expires": None, "utc": True, "callbacks": [{"task": "x"}],
    "errbacks": None, "timelimit": [5, None], "taskset": "g-1", "chord": None,
}  # fmt: skip


def template(**changes: Any) -> MessageTemplate:
    serializer = registry.by_name("json")
    fields: dict[str, Any] = {
        "headers": header_template("proj.add"),
        "properties": {"correlation_id": None, "reply_to": None, "delivery_mode": 2},
        "embed": EMBED,
        "dumps": serializer.dumps,
        "content_type": serializer.content_type,
        "content_encoding": serializer.content_encoding,
    }
    return MessageTemplate(**{**fields, **changes})


def message(payload: Any, headers: dict[str, Any] | None = None, content_type: str = "application/json") -> Message:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Message(body, content_type, "utf-8", headers or {}, {"correlation_id": "c"})


def decode(body: Any, headers: dict[str, Any] | None = None) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_payload(raw, "application/json", "utf-8", headers or {}, registry, JSON)


@given(
    st.lists(st.integers() | st.text() | st.none(), max_size=4),
    st.dictionaries(st.text(), st.integers() | st.booleans(), max_size=4),
)
def test_what_is_encoded_is_decoded(args: list[Any], kwargs: dict[str, Any]) -> None:
    made = encode_task(template(), "id-1", tuple(args), kwargs, origin="gen1@h", reply_to="r")
    assert decode_payload(
        made.body, made.content_type, made.content_encoding, made.headers, registry, JSON
    ) == (args, kwargs, EMBED)  # fmt: skip
    assert normalize(made, registry, JSON) is made


def test_a_template_is_not_changed_by_its_calls() -> None:
    shared = template()
    encode_task(shared, "id-1", (1,), {}, origin="gen1@h", reply_to="r", priority=3)
    assert shared.headers["id"] is None
    assert shared.properties == {"correlation_id": None, "reply_to": None, "delivery_mode": 2}


def test_compressed_bodies_are_decoded() -> None:
    made = encode_task(template(compression="gzip"), "id-1", (1,), {}, origin="gen1@h", reply_to="r")
    assert made.headers["compression"] == "application/x-gzip"
    args, _, _ = decode_payload(made.body, made.content_type, "utf-8", made.headers, registry, JSON)
    assert args == [1]


def test_protocol_1_becomes_protocol_2() -> None:
    made = normalize(message(V1), registry, JSON)
    assert made.headers["task"] == "proj.add"
    assert made.headers["id"] == made.headers["root_id"] == "id-1"
    assert (made.headers["retries"], made.headers["timelimit"]) == (2, [5, None])
    assert (made.headers["group"], made.headers["eta"]) == ("g-1", V1["eta"])
    assert made.headers["argsrepr"] == "[2, 3]"
    assert made.properties == {"correlation_id": "c"}
    assert decode(made.body) == ([2, 3], {"z": 1}, {**EMBED, "callbacks": [{"task": "x"}]})


def test_protocol_1_keeps_custom_headers_and_loses_its_compression() -> None:
    body, kind = compress(json.dumps(V1).encode(), "gzip")
    made = normalize(message(body, {"tenant": "a", "compression": kind}), registry, JSON)
    assert made.headers["tenant"] == "a"
    assert "compression" not in made.headers
    assert decode(made.body)[0] == [2, 3]


def test_local_times_of_protocol_1_become_utc() -> None:
    made = normalize(message({**V1, "utc": False, "eta": "2030-01-01T00:00:00"}), registry, JSON)
    assert made.headers["eta"].endswith("+00:00")
    with pytest.raises(InvalidTaskError, match="eta"):
        normalize(message({**V1, "utc": False, "eta": "soon"}), registry, JSON)


def test_hybrid_messages_are_decoded() -> None:
    hybrid = message(V1, header_template("proj.add", id="id-2"))
    assert normalize(hybrid, registry, JSON) is hybrid
    assert decode(hybrid.body)[:2] == ([2, 3], {"z": 1})


@pytest.mark.parametrize(
    ("payload", "text"),
    [({"no": "task"}, "dict without a 'task' key"), ([1, 2], "list"), ("text", "str"), ({"task": "x"}, "no 'id'")],
)
def test_other_messages_are_no_tasks(payload: Any, text: str) -> None:
    with pytest.raises(InvalidTaskError, match=text):
        normalize(message(payload), registry, JSON)


def test_headers_need_an_id() -> None:
    with pytest.raises(InvalidTaskError, match="no 'id' header"):
        normalize(message([], {"task": "proj.add"}), registry, JSON)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ([1, {}, {}], "list or tuple, got int"),
        (["abc", {}, {}], "list or tuple, got str"),
        ([[], [], {}], "mapping, got list"),
        ([[], {}, 3], "embedded part .* got int"),
        ([[], {}], "got 2 items"),
        ({"kwargs": {}}, "got dict"),
        (7, "got int"),
        ({"args": 3}, "list or tuple, got int"),
    ],
)
def test_payloads_of_other_shapes_are_described(payload: Any, text: str) -> None:
    with pytest.raises(InvalidTaskError, match=text):
        decode(payload)


def test_a_null_embed_is_an_empty_one() -> None:
    assert decode([[], {}, None]) == ([], {}, EMBED)


def test_refused_and_broken_payloads() -> None:
    with pytest.raises(ContentDisallowed):
        decode_payload(b"", "application/x-python-serialize", "binary", {}, registry, JSON)
    with pytest.raises(DecodeError):
        decode(b"[[1, 2")
    with pytest.raises(DecodeError, match="compression"):
        decode(b"[]", {"compression": 5})
