"""Messages no task can be made of: each is set aside with its reason, and the worker goes on."""

from __future__ import annotations

import base64
import json
import pickle
import random
import uuid
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.message import DeadLetter
    from tests.support.worker import Workshop

MIB = 1024 * 1024
HEADERS: dict[str, Any] = {
    "lang": "py",
    "task": "add",
    "retries": 0,
    "eta": None,
    "expires": None,
    "ignore_result": True,
}
JSON = {"content_type": "application/json", "content_encoding": "utf-8"}


def body(args: Any = (1, 2), kwargs: Any = None, embed: Any = None) -> bytes:
    return json.dumps([args, kwargs or {}, embed or {}]).encode()


def message(data: bytes | None = None, *, kind: dict[str, Any] = JSON, **headers: Any) -> Message:
    """A message of the task `add` that is right except for what is given."""
    all_headers = HEADERS | {"id": str(uuid.uuid4())} | headers
    present = {name: value for name, value in all_headers.items() if value != "absent"}
    return Message(body() if data is None else data, headers=present, properties={}, **kind)


def publish(workshop: Workshop, *messages: Message) -> None:
    destination = Destination("", workshop.app.conf.task_default_queue)
    session = workshop.app.broker_for_read.connect()
    try:
        session.publish_many([Publication(each, destination) for each in messages], timeout=PATIENCE)
    finally:
        session.close()


def next_task_runs(workshop: Workshop) -> None:
    assert workshop.task("add").delay(20, 22).get(timeout=PATIENCE) == 42


def find_letter(workshop: Workshop, marker: str) -> DeadLetter:
    """The dead letter whose headers have the marker."""

    def found() -> list[DeadLetter]:
        return [each for each in workshop.dead_letters() if each.message.headers.get("marker") == marker]

    (letter,) = wait_until(found, what="the message is among the dead letters")
    return letter


#: Name: the message, and a word of the reason it is set aside for.
BAD: dict[str, tuple[Callable[[], Message], str]] = {
    "empty body": (lambda: message(b""), "DecodeError"),
    "random bytes": (lambda: message(random.Random(1).randbytes(500)), "DecodeError"),
    "truncated JSON": (lambda: message(body()[:-5]), "DecodeError"),
    "JSON of another encoding": (lambda: message('[["ä"], {}, {}]'.encode("utf-16")), "DecodeError"),
    "body that is no list": (lambda: message(b'{"key": [1]}'), "payload"),
    "body that is too short": (lambda: message(b"[[1, 2], {}]"), "payload"),
    "body of null": (lambda: message(b"null"), "payload"),
    "arguments that are no list": (lambda: message(b'["text", {}, {}]'), "arg"),
    "keyword arguments that are no mapping": (lambda: message(b"[[1], [2], {}]"), "keyword arguments"),
    "keyword arguments with a number as key": (
        lambda: message(pickle.dumps(((), {1: 2}, {})), kind={"content_type": "application/x-python-serialize",
                                                              "content_encoding": "binary"}), "pickle"),
    "deeply nested JSON": (lambda: message(b"[" * 200_000), "DecodeError"),
    "unknown content type": (lambda: message(kind=JSON | {"content_type": "application/x-nobody"}), "x-nobody"),
    "forbidden serializer": (
        lambda: message(pickle.dumps(((1,), {}, {})), kind={"content_type": "application/x-python-serialize",
                                                            "content_encoding": "binary"}), "pickle"),
    "unknown compression": (lambda: message(compression="application/x-squash"), "squash"),
    "damaged compression": (lambda: message(b"garbage", compression="application/x-gzip"), "DecodeError"),
    "no task": (lambda: message(task="absent"), "task"),
    "task that is a number": (lambda: message(task=7), "task"),
    "task that is a list": (lambda: message(task=["add"]), "task"),
    "task with an endless name": (lambda: message(task="x" * 50_000), "unregistered"),
    "headers that leave no room for another": (lambda: message(b"", filling="x" * 130_300), "DecodeError"),
    "ETA at the end of time": (lambda: message(eta=1e300), "9999"),
    "no id": (lambda: message(id="absent"), "id"),
    "id that is a number": (lambda: message(id=5), "id"),
    "ETA that is no time": (lambda: message(eta="tomorrow"), "tomorrow"),
    "ETA that is a list": (lambda: message(eta=[1]), "eta"),
    "expiry that is no time": (lambda: message(expires="never"), "never"),
    "limits that are text": (lambda: message(timelimit="long"), "timelimit"),
    "limits of text": (lambda: message(timelimit=["a", "b"]), "timelimit"),
    "limits that are too few": (lambda: message(timelimit=[1]), "timelimit"),
    "negative limits": (lambda: message(timelimit=[-1, -1]), "timelimit"),
    "retries that are text": (lambda: message(retries="many"), "retries"),
    "group that is a list": (lambda: message(group=["a"]), "group"),
    "callbacks that are text": (lambda: message(body(embed={"callbacks": "zoo"})), "callbacks"),
    "embed that is a list": (lambda: message(b"[[1, 2], {}, []]"), "embed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_message_is_set_aside_with_its_reason(shared: Workshop, name: str) -> None:
    make, word = BAD[name]
    bad, marker = make(), uuid.uuid4().hex
    bad.headers["marker"] = marker
    publish(shared, bad)
    next_task_runs(shared)
    assert word in find_letter(shared, marker).reason
    assert shared.depth() == 0


@cache
def bomb() -> bytes:
    """300 MiB."""
    return zlib.compress(b"[" + b" " * (300 * MIB), 1)


def test_compression_bomb_is_set_aside_in_bounded_memory(shared: Workshop) -> None:
    marker = uuid.uuid4().hex
    (worker,) = shared.workers
    publish(shared, message(bomb(), compression="application/x-gzip", marker=marker))
    letter = find_letter(shared, marker)
    assert "decompress" in letter.reason or "bytes" in letter.reason
    next_task_runs(shared)
    assert worker.rss_kib() < 200 * 1024


def test_hundred_bad_messages_in_a_row(shared: Workshop) -> None:
    marker = uuid.uuid4().hex
    bad = [make() for make, _ in BAD.values()] * 4
    for each in bad:
        each.headers["marker"] = marker
    publish(shared, *bad)
    assert shared.task("add").delay(20, 22).get(timeout=PATIENCE) == 42
    wait_until(
        lambda: sum(each.message.headers.get("marker") == marker for each in shared.dead_letters()) == len(bad),
        what="all of them are among the dead letters",
    )


RAW: dict[str, bytes] = {
    "nothing": b"",
    "random bytes": random.Random(2).randbytes(300),
    "text": b"hello",
    "null": b"null",
    "list": b"[1, 2, 3]",
    "number": b"7",
    "not UTF-8": b'{"body": "\xff\xfe"}',
    "no properties": b'{"body": "W10=", "headers": {}}',
    "properties of another type": b'{"body": "W10=", "headers": {}, "properties": [1]}',
    "body of another type": b'{"body": {"a": 1}, "headers": {}, "properties": {"delivery_tag": "t"}}',
    "body that is no base64": (
        b'{"body": "%%%", "headers": {}, "properties": {"body_encoding": "base64", "delivery_info": {}}}'
    ),
    "headers of another type": b'{"body": "W10=", "headers": [1, 2], "properties": {"delivery_info": {}}}',
    "delivery info of another type": b'{"body": "W10=", "headers": {}, "properties": {"delivery_info": 5}}',
    "nested too deeply": b'{"body": ' + b"[" * 100_000,
    "not a number": b'{"body": NaN, "headers": {}, "properties": {}}',
    "tag without an end": b'{"body": "W10=", "headers": {}, "properties": {"delivery_tag": "abc}}',
    "truncated": b'{"body": "W10=", "headers": {"task": "add", "id": "x"}, "proper',
}


def push_raw(workshop: Workshop, raw: bytes) -> None:
    session: Any = workshop.app.broker_for_read.connect()
    try:
        session._client.command("LPUSH", workshop.app.conf.task_default_queue, raw)
    finally:
        session.close()


def claimed(workshop: Workshop) -> int:
    session: Any = workshop.app.broker_for_read.connect()
    try:
        return int(session._client.command("HLEN", "unacked"))
    finally:
        session.close()


@pytest.mark.parametrize("transport", ["redis"], indirect=True)
@pytest.mark.parametrize("name", RAW)
def test_raw_garbage_in_the_queue_is_set_aside(shared: Workshop, name: str) -> None:
    raw = RAW[name]
    before = {letter.id for letter in shared.dead_letters()}
    push_raw(shared, raw)
    next_task_runs(shared)
    new = wait_until(
        lambda: [letter for letter in shared.dead_letters() if letter.id not in before],
        what="it is among the dead letters",
    )
    assert len(new) == 1
    assert new[0].reason.startswith("invalid: ")
    wait_until(lambda: claimed(shared) == 0, what="nothing is left claimed")


def envelope() -> dict[str, Any]:
    return {
        "body": base64.b64encode(body()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": HEADERS | {"id": str(uuid.uuid4()), "timelimit": [None, None], "root_id": None, "group": None},
        "properties": {
            "correlation_id": "c",
            "reply_to": "r",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


PLACES = [
    *((name,) for name in envelope()),
    *(("headers", name) for name in envelope()["headers"]),
    *(("properties", name) for name in envelope()["properties"]),
    ("properties", "delivery_info", "exchange"),
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), st.just("gone"),
)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """An envelope with some fields replaced or removed, and maybe some bytes changed."""
    mutated = envelope()
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        place: Any = mutated
        for name in path[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        value = draw(VALUES)
        if isinstance(place, dict):
            place.pop(path[-1], None)
            if value != "gone":
                place[path[-1]] = value
    raw = bytearray(json.dumps(mutated).encode())
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw)


@pytest.mark.parametrize("transport", ["redis"], indirect=True)
def test_mutated_envelopes_never_stop_the_worker(shared: Workshop) -> None:
    @settings(
        max_examples=40, deadline=None, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.lists(mutations(), min_size=5, max_size=10))
    def run(raws: list[bytes]) -> None:
        for raw in raws:
            push_raw(shared, raw)
        next_task_runs(shared)

    run()
    wait_until(lambda: shared.depth() == 0, what="the queue is empty")
    assert shared.workers[0].alive
