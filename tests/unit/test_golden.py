"""What real Celery put on the wire, read, written again, and made from the same calls; recorded by `record_golden`."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.app.publisher import Publisher
from celeriac.backend.base import BackendOptions
from celeriac.backend.codec import ResultCodec
from celeriac.broker.amqp.envelope import properties_of, read_delivery
from celeriac.broker.envelope import decode_envelope, encode_envelope
from celeriac.broker.redis.layout import Layout
from celeriac.drivers.amqp import Delivery as RawDelivery
from celeriac.protocol import MessageTemplate, decode_payload, encode_task, header_template, normalize
from celeriac.serialization.compression import decompress
from celeriac.serialization.serializers import registry
from tests.interop.tasks import AwkwardError
from tests.interop.variants import QUEUE, VARIANTS, call, declare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.message import Message, Publication

GOLDEN = Path(__file__).parents[1] / "interop" / "golden"
REDIS: dict[str, list[dict[str, str]]] = json.loads((GOLDEN / "redis.json").read_text())
AMQP: dict[str, list[dict[str, Any]]] = json.loads((GOLDEN / "amqp.json").read_text())
RESULTS: dict[str, dict[str, str]] = json.loads((GOLDEN / "results.json").read_text())
ACCEPT = frozenset(registry.by_name(name).content_type for name in ("json", "pickle", "yaml", "msgpack"))
REDIS_MESSAGES = [(name, number) for name, found in REDIS.items() for number in range(len(found))]
AMQP_MESSAGES = [(name, number) for name, found in AMQP.items() for number in range(len(found))]


def ordered(value: Any, path: str = "") -> list[tuple[str, str, Any]]:
    """A value, leaf by leaf, so that the order of keys and the types of values count."""
    if isinstance(value, dict):
        return [(path, "dict", len(value)), *(x for key, each in value.items() for x in ordered(each, f"{path}.{key}"))]
    if isinstance(value, list | tuple):
        leaves = [x for number, each in enumerate(value) for x in ordered(each, f"{path}[{number}]")]
        return [(path, "list", len(value)), *leaves]
    return [(path, type(value).__name__, value)]


def read_amqp(name: str, number: int) -> Message:
    """A recorded message as our worker gets it from RabbitMQ."""
    found = AMQP[name][number]
    raw = RawDelivery.__new__(RawDelivery)
    raw.delivery_tag, raw.redelivered, raw.body = 1, False, base64.b64decode(found["body"])
    raw.exchange, raw.routing_key = found["exchange"], found["routing_key"]
    raw.properties, raw.headers = dict(found["properties"]), dict(found["headers"])
    return read_delivery(raw, QUEUE, 1).message


@pytest.mark.parametrize(("name", "number"), REDIS_MESSAGES)
def test_redis_envelope_is_written_again_as_it_was(name: str, number: int) -> None:
    raw = REDIS[name][number]["envelope"]
    message, exchange, routing_key, redelivered = decode_envelope(raw.encode())
    tag = json.loads(raw)["properties"]["delivery_tag"]
    again = encode_envelope(message, exchange, routing_key, tag)
    assert ordered(json.loads(again)) == ordered(json.loads(raw))
    assert not redelivered


@pytest.mark.parametrize(("name", "number"), REDIS_MESSAGES)
def test_redis_list_is_that_of_the_priority(name: str, number: int) -> None:
    found = REDIS[name][number]
    message = decode_envelope(found["envelope"].encode())[0]
    assert f"{QUEUE}{Layout().suffix(message.properties['priority'])}" == found["list"]


@pytest.mark.parametrize(("name", "number"), AMQP_MESSAGES)
def test_amqp_message_is_written_again_as_it_was(name: str, number: int) -> None:
    found = AMQP[name][number]
    message = read_amqp(name, number)
    assert properties_of(message) == found["properties"]
    assert ordered(message.headers) == ordered(found["headers"])
    assert message.body == base64.b64decode(found["body"])


@pytest.mark.parametrize(("name", "number"), AMQP_MESSAGES)
def test_task_message_is_written_again_from_its_parts(name: str, number: int) -> None:
    message = read_amqp(name, number)
    if "task" not in message.headers:
        assert normalize(message, registry, ACCEPT).headers["task"] == VARIANTS[name].task
        return
    headers = dict(message.headers)
    args, kwargs, embed = decode_payload(
        message.body, message.content_type, message.content_encoding, headers, registry, ACCEPT
    )
    custom = {key: value for key, value in headers.items() if key not in header_template("")}
    compression = custom.pop("compression", None)
    known = {key: headers[key] for key in header_template("") if key != "task"}
    own = {"argsrepr": None, "kwargsrepr": None} if message.content_type == "application/json" else {}
    if "own representation" in name or name == "typed values":
        own = {}
    properties = {k: v for k, v in message.properties.items() if k not in ("correlation_id", "reply_to")}
    serializer = registry.by_name(message.content_type)
    template = MessageTemplate(
        header_template(headers["task"], **{**known, **own, **custom}), properties, dict(embed),
        serializer.dumps, message.content_type, message.content_encoding, compression,
    )  # fmt: skip
    made = encode_task(
        template, headers["id"], tuple(args), kwargs,
        origin=headers["origin"], reply_to=message.properties["reply_to"],
        root_id=headers["root_id"], parent_id=headers["parent_id"],
    )  # fmt: skip
    assert ordered(made.headers) == ordered(message.headers)
    assert made.properties == message.properties
    assert content(made) == content(message)


def content(message: Message) -> Any:
    """The payload in a form that can be compared; JSON with the order of its keys."""
    body, compression = message.body, message.headers.get("compression")
    body = decompress(body, compression) if compression else body
    if message.content_type == "application/json":
        return ordered(json.loads(body))
    return ordered(registry.loads(body, message.content_type, message.content_encoding, ACCEPT))


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Publication]:
    """What an app would have sent."""
    found: list[Publication] = []

    def one(self: Publisher, publication: Publication, **options: Any) -> None:
        found.append(publication)

    def many(self: Publisher, publications: Sequence[Publication], **options: Any) -> None:
        found.extend(publications)

    monkeypatch.setattr(Publisher, "publish", one)
    monkeypatch.setattr(Publisher, "publish_many", many)
    return found


def make(name: str, published: list[Publication]) -> Publication:
    """The call of a variant, made by us."""
    with Celery("golden", broker="memory://golden", backend="redis://127.0.0.1:1/0", set_as_current=False) as app:
        app.conf.task_protocol = VARIANTS[name].protocol
        declare(app)
        call(app, name)
    (publication,) = published
    return publication


@pytest.mark.parametrize("name", VARIANTS)
def test_our_call_makes_the_same_redis_envelope(name: str, published: list[Publication]) -> None:
    publication = make(name, published)
    destination = publication.destination
    ours = encode_envelope(publication.message, destination.exchange, destination.routing_key, "tag")
    (found,) = REDIS[name]
    assert steady(ours) == steady(found["envelope"].encode())


@pytest.mark.parametrize("name", VARIANTS)
def test_our_call_makes_the_same_amqp_message(name: str, published: list[Publication]) -> None:
    publication = make(name, published)
    message = publication.message
    (found,) = AMQP[name]
    assert keys_of(properties_of(message)) == keys_of(found["properties"])
    assert (publication.destination.exchange, publication.destination.routing_key) == ("", QUEUE)
    theirs = read_amqp(name, 0)
    assert list(message.headers) == list(theirs.headers)
    assert times_out(message.headers) == times_out(theirs.headers)
    assert times_out(content(message)) == times_out(content(theirs))


VOLATILE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)?")


def steady(raw: bytes) -> Any:
    """An envelope without what differs from one call to the next; the payload is left out."""
    envelope = json.loads(raw)
    envelope["body"] = None
    for key in ("reply_to", "delivery_tag"):
        assert isinstance(envelope["properties"].pop(key), str)
    # Celery repeats these headers as properties, which nobody reads.
    for key in ("argsrepr", "kwargsrepr"):
        envelope["properties"].pop(key, None)
    if "expiration" in envelope["properties"]:
        assert envelope["properties"]["expiration"].isdigit()
        envelope["properties"]["expiration"] = "ms"
    envelope["headers"] = times_out(envelope["headers"])
    return ordered(envelope)


def times_out(value: Any) -> Any:
    """Without the times, which depend on when the call was made, and the names of the processes."""
    if isinstance(value, dict):
        return {key: "origin" if key == "origin" else times_out(each) for key, each in value.items()}
    if isinstance(value, list):
        return [times_out(each) for each in value]
    if isinstance(value, tuple):
        # A leaf of `ordered`, for one.
        return tuple(times_out(each) for each in value)
    if isinstance(value, str) and VOLATILE.fullmatch(value):
        assert datetime.fromisoformat(value).tzinfo is not None
        return "time"
    return value


def keys_of(properties: dict[str, Any]) -> dict[str, str]:
    """Names and types of properties, and those values that do not depend on the process or the time.

    Celery sends priority 0, which is the same as none, with tasks it does not know.
    """
    return {
        key: type(value).__name__ if key in ("reply_to", "expiration") else value
        for key, value in properties.items()
        if (key, value) != ("priority", 0)
    }


@pytest.mark.parametrize("name", [name for name in RESULTS if name != "group"])
def test_stored_result_is_written_again_as_it_was(name: str) -> None:
    found = RESULTS[name]
    data = base64.b64decode(found["data"])
    compression = "gzip" if name == "compressed" else None
    codec = ResultCodec(BackendOptions(serializer=found["serializer"], accept=ACCEPT, compression=compression))
    record = codec.decode(data, name)
    assert record.task_id == name
    if name == "error AwkwardError":
        # A class whose constructor does not take its `args` cannot be made again.
        assert type(record.result) is Exception
        assert AwkwardError.__name__ in str(record.result)
        return
    again = codec.encode(record)
    if found["serializer"] == "json" and compression is None:
        assert ordered(json.loads(again)) == ordered(json.loads(data))
    else:
        other = codec.decode(again, name)
        assert repr(other) == repr(record)


def test_stored_group_is_written_again_as_it_was() -> None:
    data = base64.b64decode(RESULTS["group"]["data"])
    codec = ResultCodec(BackendOptions())
    value = codec.decode_value(data)
    assert ordered(json.loads(codec.encode_value(value))) == ordered(json.loads(data))
    with Celery("golden", broker="memory://golden", backend="memory://golden", set_as_current=False) as app:
        group = app.GroupResult("gid1", [app.AsyncResult("a"), app.AsyncResult("b")])
        assert ordered(json.loads(codec.encode_value({"result": group.as_tuple()}))) == ordered(json.loads(data))
