"""Calls of every kind, from a client of one library to a worker of the other, and what comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.talk import Sig
from tests.interop.tasks import ERRORS, VALUES
from tests.support import SLACK, wait_until

if TYPE_CHECKING:
    from tests.interop.conftest import Pair

COMPRESSIONS = ("gzip", "bzip2", "lzma", "brotli", "zstd")
SERIALIZERS = ("json", "pickle", "yaml", "msgpack")


@pytest.mark.parametrize("kind", VALUES)
def test_values_arrive_and_return_unchanged(pair: Pair, kind: str) -> None:
    sent = pair.client("outcome", pair.client("send_value", kind, queue=pair.queue))
    made = pair.client.run("typed", kind, queue=pair.queue)
    for found in (sent, made):
        assert (found.state, found.value) == ("SUCCESS", VALUES[kind])
        assert type(found.value) is type(VALUES[kind])


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_every_serializer_is_understood(pair: Pair, serializer: str) -> None:
    value = {"text": "\u2603", "numbers": [1, 2.5, None], "flag": True}
    assert pair.client.run("echo", value, queue=pair.queue, serializer=serializer).value == value


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_compression_is_understood(pair: Pair, compression: str) -> None:
    value = "compress me " * 2000
    assert pair.client.run("echo", value, queue=pair.queue, compression=compression).value == value


@pytest.mark.parametrize("kind", ERRORS)
def test_failures_are_rebuilt(pair: Pair, kind: str) -> None:
    found = pair.client.run("fail", kind, queue=pair.queue)
    assert found.state == "FAILURE"
    assert "Traceback (most recent call last)" in found.traceback
    expected = ERRORS[kind]()
    assert found.error is not None
    if kind == "AwkwardError":
        # Its constructor takes other arguments: another exception names it.
        assert found.error.name in ("Exception", "UnpickleableExceptionWrapper")
        assert "AwkwardError" in found.error.text
        assert "code 8" in found.error.text
        return
    assert found.error.name == type(expected).__qualname__
    assert found.raised == type(expected).__name__
    if kind == "with object":
        assert found.error.args == (repr(object),)
    else:
        assert found.error.args == expected.args
        assert found.error.text == str(expected)
    if type(expected).__module__ == "builtins":
        assert found.error.bases == [base.__name__ for base in type(expected).__mro__]


def test_options_reach_the_request(pair: Pair) -> None:
    task_id = pair.client.send(
        "about", 1, "two", kwargs={"three": [3]}, queue=pair.queue, shadow="display name", expires=60,
        headers={"tenant": "x", "depth": {"a": [1]}}, time_limit=50, soft_time_limit=40, priority=6,
    )  # fmt: skip
    found = pair.client("outcome", task_id).value
    assert found["library"] == pair.runner
    assert (found["id"], found["root_id"], found["correlation_id"]) == (task_id, task_id, task_id)
    assert (found["args"], found["kwargs"]) == ([1, "two"], {"three": [3]})
    assert found["argsrepr"] == "(1, 'two')"
    assert found["shadow"] == "display name"
    assert found["headers"]["tenant"] == "x"
    assert found["headers"]["depth"] == {"a": [1]}
    assert found["timelimit"] == [50, 40]
    assert found["expires"] is not None
    assert found["retries"] == 0
    assert found["delivery_info"]["routing_key"] == pair.queue
    assert found["delivery_info"]["priority"] == 6


def test_protocol_1_is_read(pair: Pair) -> None:
    client = pair.fleet.start_client(pair.sender, task_protocol=1)
    try:
        found = client.run("about", 1, kwargs={"two": 2}, queue=pair.queue, countdown=0.2).value
        link = Sig("double", options={"queue": pair.queue})
        task_id = client.send("add", 2, 3, queue=pair.queue, link=link)
        assert client("outcome", task_id).value == 5
    finally:
        client.close()
    assert (found["args"], found["kwargs"], found["library"]) == ([1], {"two": 2}, pair.runner)
    wait_until(lambda: pair.ledger.records("double", value=5), what="the link of a protocol 1 message")


def test_countdown_is_waited_for_and_the_task_runs_once(pair: Pair) -> None:
    before = time.time()
    ids = [pair.client.send("echo", countdown=delay, queue=pair.queue) for delay in (3.0, 0.4)]
    for task_id, delay in zip(ids, (3.0, 0.4), strict=True):
        assert pair.client("outcome", task_id).state == "SUCCESS"
        (record,) = pair.ledger.records("echo", id=task_id)
        assert delay <= record["at"] - before + 0.05
        assert record["at"] - before < delay + SLACK
        assert record["library"] == pair.runner


def test_expired_task_is_revoked(pair: Pair) -> None:
    found = pair.client.run("echo", queue=pair.queue, expires=0.2, countdown=0.8)
    assert found.state == "REVOKED"
    assert found.error is not None
    assert (found.error.name, found.error.args) == ("TaskRevokedError", ("expired",))


def test_ignored_results_are_not_kept(pair: Pair) -> None:
    task_id = pair.client.send("ignored", 1, queue=pair.queue)
    other_id = pair.client.send("echo", 1, queue=pair.queue, ignore_result=True)
    wait_until(lambda: pair.ledger.records("ignored", id=task_id) and pair.ledger.records("echo", id=other_id))
    assert pair.client.run("add", 1, 2, queue=pair.queue).value == 3
    assert [pair.client("state", each)[0] for each in (task_id, other_id)] == ["PENDING", "PENDING"]


def test_custom_state_is_seen_while_the_task_runs(pair: Pair) -> None:
    gate = pair.fleet.gate()
    task_id = pair.client.send("gated", str(gate), meta(), queue=pair.queue)
    try:
        wait_until(lambda: pair.client("state", task_id) == ("PROGRESS", meta()), what="the state PROGRESS")
    finally:
        gate.touch()
    assert pair.client("outcome", task_id).value == "done"


def meta() -> dict[str, Any]:
    """What the task tells of its progress."""
    return {"done": 3, "of": 10}


def test_forgotten_result_is_gone(pair: Pair) -> None:
    task_id = pair.client.send("add", 1, 1, queue=pair.queue)
    assert pair.client("outcome", task_id).value == 2
    pair.client("forget", task_id)
    assert pair.client("state", task_id)[0] == "PENDING"


def test_unknown_task_is_reported_and_the_worker_goes_on(pair: Pair) -> None:
    task_id = pair.client("send_by_name", "no.such.task", queue=pair.queue)
    found = pair.client("outcome", task_id)
    assert found.state == "FAILURE"
    assert (found.error.name, found.error.args) == ("NotRegistered", ("no.such.task",))
    assert pair.client.run("add", 1, 2, queue=pair.queue).value == 3
