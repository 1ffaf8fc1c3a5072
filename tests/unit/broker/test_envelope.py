"""The envelope of kombu's virtual transports."""

from __future__ import annotations

import base64
import datetime
import json
import string
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.broker.envelope import MalformedEnvelope, TagSource, decode_envelope, encode_envelope
from celeriac.message import Message, MessageForm

#: As kombu 5.7.0 wrote it.
RECORDED = (
    b'{"body": "eyJhIjogMX0=", "content-encoding": "utf-8", "content-type": "application/json", "headers": '
    b'{"x": []}, "properties": {"correlation_id": "c", "reply_to": "r", "delivery_mode": 2, "expiration": '
    b'"60000", "delivery_info": {"exchange": "dex", "routing_key": "k"}, "priority": 5, "body_encoding": '
    b'"base64", "delivery_tag": "e03d11d1-04d3-4d57-aae8-72afd1d4890a"}}'
)


def message(**properties: Any) -> Message:
    return Message(b'{"a": 1}', "application/json", "utf-8", {"x": []}, properties)


def test_recorded_envelope_is_read() -> None:
    got, exchange, routing_key, redelivered = decode_envelope(RECORDED)
    assert (got.body, got.content_type, got.content_encoding) == (b'{"a": 1}', "application/json", "utf-8")
    assert got.headers == {"x": []}
    assert got.properties == {
        "correlation_id": "c", "reply_to": "r", "delivery_mode": 2, "expiration": "60000", "priority": 5,
    }  # fmt: skip
    assert (exchange, routing_key, redelivered) == ("dex", "k", False)


def test_envelope_has_the_parts_that_kombu_writes() -> None:
    tag = "e03d11d1-04d3-4d57-aae8-72afd1d4890a"
    sent = message(correlation_id="c", reply_to="r", delivery_mode=2, expiration="60000", priority=5)
    assert json.loads(encode_envelope(sent, "dex", "k", tag)) == json.loads(RECORDED)


@given(
    st.lists(
        st.tuples(st.binary(max_size=8), st.text(), st.none() | st.text() | st.integers(), st.text(), st.uuids()),
        min_size=1,
        max_size=3,
    ),
    st.text(),
)
def test_envelopes_of_one_form_are_those_of_messages_without(
    calls: list[tuple[bytes, str, str | int | None, str, uuid.UUID]], constant: str
) -> None:
    form = MessageForm(("id", "group"), ("correlation_id", "reply_to"))
    for body, id_, group, reply_to, number in calls:
        tag = str(number)
        headers: dict[str, Any] = {"lang": "100 %s", "id": id_, "x": [constant, None], "group": group, "stamps": {}}
        properties = {"correlation_id": id_, "reply_to": reply_to, "delivery_mode": 2, "priority": 5, "type": constant}
        plain = Message(body, "application/json", "utf-8", headers, properties)
        formed = Message(body, "application/json", "utf-8", headers, properties, form)
        for exchange, routing_key in (("", constant), ("dex %s", "k")):
            expected = encode_envelope(plain, exchange, routing_key, tag)
            assert encode_envelope(formed, exchange, routing_key, tag) == expected


def test_envelope_ends_with_its_tag() -> None:
    # The claim script looks for the tag there first.
    assert encode_envelope(message(), "", "q", "TAG").endswith(b'"delivery_tag": "TAG"}}')


def test_properties_of_the_envelope_cannot_be_set_by_a_message() -> None:
    envelope = json.loads(encode_envelope(message(delivery_tag="x", body_encoding="y", priority=None), "", "q", "T"))
    assert envelope["properties"]["delivery_tag"] == "T"
    assert envelope["properties"]["body_encoding"] == "base64"
    assert envelope["properties"]["priority"] == 0


def test_typed_headers_survive() -> None:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
    sent = Message(b"", "text/plain", "utf-8", {"when": when, "id": uuid.UUID(int=7)}, {"n": 1})
    got = decode_envelope(encode_envelope(sent, "", "q", "T"))[0]
    assert got.headers == sent.headers


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
headers = st.dictionaries(st.text(max_size=8), json_values, max_size=5).map(
    lambda found: {key: value for key, value in found.items() if key != "redelivered"}
)


@given(st.binary(max_size=200), headers, st.text(max_size=20), st.text(max_size=20), st.integers(0, 9))
def test_any_message_survives(body: bytes, sent: dict[str, Any], exchange: str, key: str, priority: int) -> None:
    properties = {"correlation_id": key, "priority": priority, "delivery_mode": 1}
    envelope = encode_envelope(Message(body, "a/b", "binary", sent, properties), exchange, key, "T")
    got = decode_envelope(envelope)
    assert got == (Message(body, "a/b", "binary", sent, properties), exchange, key, False)


@pytest.mark.parametrize("where", ["headers", "info"])
def test_redelivered_mark_of_kombu_is_read(where: str) -> None:
    envelope = json.loads(RECORDED)
    target = envelope["headers"] if where == "headers" else envelope["properties"]["delivery_info"]
    target["redelivered"] = True
    assert decode_envelope(json.dumps(envelope).encode())[3] is True


def test_body_without_base64_is_text() -> None:
    envelope = json.loads(RECORDED)
    envelope["body"] = "[1, 2]"
    del envelope["properties"]["body_encoding"]
    assert decode_envelope(json.dumps(envelope).encode())[0].body == b"[1, 2]"


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"null", b"[]", b"1", b"{}", b"\xff\xfe", RECORDED[:-1], RECORDED[:50], b"[" * 100_000,
        b'{"body": 5, "properties": {"body_encoding": "base64"}}',
        b'{"body": "A", "properties": {"body_encoding": "base64"}}',
        b'{"body": null, "properties": {}}',
        b'{"body": "x", "properties": []}',
        b'{"body": "x", "properties": {"delivery_info": 5}}',
        b'{"body": "x", "properties": {}, "headers": [1]}',
        b'{"body": "x", "properties": {}, "content-type": 5}',
        b'{"body": "x", "properties": {}, "content-encoding": "no-such"}',
        b'{"body": "x", "properties": {}, "headers": {"x": {"__type__": "no-such", "__value__": 1}}}',
    ],
)  # fmt: skip
def test_unreadable_envelope_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedEnvelope):
        decode_envelope(raw)


@given(st.binary(max_size=100) | st.text(string.printable, max_size=100).map(str.encode))
def test_random_bytes_never_do_anything_else(raw: bytes) -> None:
    try:
        decode_envelope(raw)
    except MalformedEnvelope as error:
        assert "envelope" in str(error)


def test_tags_are_different_and_look_like_uuids() -> None:
    sources = [TagSource(), TagSource()]
    tags = [source.next() for _ in range(100) for source in sources]
    assert len(set(tags)) == 200
    assert all(str(uuid.UUID(tag)) == tag for tag in tags)


def test_body_is_plain_base64() -> None:
    body = bytes(range(256)) * 4
    envelope = json.loads(encode_envelope(Message(body, "a/b", "binary", {}, {}), "", "q", "T"))
    assert base64.b64decode(envelope["body"], validate=True) == body
