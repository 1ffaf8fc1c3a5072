"""Result stores, serializers of results and replies, read by the library that did not write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES, Fleet, other
from tests.interop.tasks import VALUES
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Golden results cover the other serializers and compressions.
STORES = ("rpc", "sqlite", "postgresql", "pickle", "msgpack")
PLAIN = ("none", "int", "text", "dict", "float")


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest) -> str:
    """A kind of result store, or of results in Redis."""
    return str(request.param)


@pytest.fixture(scope="module")
def results(
    store: str, redis_database: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Workers and clients whose results go there."""
    directory = tmp_path_factory.mktemp(store)
    conf: dict[str, Any] = {"broker_url": redis_database, "result_backend": redis_database, "result_extended": True}
    if store == "rpc":
        conf |= {"broker_url": request.getfixturevalue("amqp_url"), "result_backend": "rpc://"}
    elif store == "sqlite":
        conf["result_backend"] = f"db+sqlite:///{directory}/results.sqlite"
    elif store == "postgresql":
        url = request.getfixturevalue("results_database")
        conf["result_backend"] = url.replace("postgresql://", "db+postgresql+psycopg://", 1)
    else:
        conf |= {"result_serializer": store, "result_compression": "gzip"}
    fleet = Fleet(conf, directory)
    try:
        for library in LIBRARIES:
            fleet.start_worker(library, name=f"the-{library}", wait=False)
        for library in LIBRARIES:
            fleet.workers[f"the-{library}"].wait_ready()
        yield fleet
    finally:
        fleet.close()


@pytest.fixture(params=LIBRARIES, ids=("celery_to_celeriac", "celeriac_to_celery"))
def sender(request: pytest.FixtureRequest) -> str:
    """Library of the client."""
    return str(request.param)


@pytest.mark.parametrize("kind", PLAIN)
def test_values_return(results: Fleet, sender: str, kind: str) -> None:
    found = results.client(sender).run("typed", kind, queue=results.queue(other(sender)))
    assert (found.state, found.value) == ("SUCCESS", VALUES[kind])


def test_failures_return(results: Fleet, sender: str) -> None:
    queue = results.queue(other(sender))
    for kind, args in (("CustomError", (7, "custom")), ("ValueError", ("bad", 3))):
        found = results.client(sender).run("fail", kind, queue=queue)
        assert (found.state, found.raised, found.error.args) == ("FAILURE", kind, args)
        assert "Traceback (most recent call last)" in found.traceback


def test_exceptions_of_the_library_return(results: Fleet, sender: str) -> None:
    found = results.client(sender).run("exhaust", queue=results.queue(other(sender)))
    assert (found.state, found.raised) == ("FAILURE", "MaxRetriesExceededError")


def test_extended_fields_return(results: Fleet, sender: str) -> None:
    queue = results.queue(other(sender))
    fields = results.client(sender).run("echo", [1], kwargs={"more": 2}, queue=queue).fields
    assert fields["name"] == "tests.interop.tasks.echo"
    assert (list(fields["args"]), fields["kwargs"]) == ([[1]], {"more": 2})
    assert (fields["retries"], fields["queue"]) == (0, queue)
    assert fields["date_done"] is not None


def test_many_results_return_in_any_order(results: Fleet, sender: str) -> None:
    ids = results.client(sender)("send_many", "echo", 100, queue=results.queue(other(sender)))
    order = [*range(50, 100), *range(50)]
    assert results.client(sender)("outcomes", [ids[number] for number in order]) == order


def test_custom_state_is_seen(results: Fleet, sender: str, request: pytest.FixtureRequest) -> None:
    gate, meta = results.gate(), {"done": 3}
    # Celery's rpc:// sees states only until the first `get` of the process.
    client = results.start_client(sender)
    request.addfinalizer(client.close)
    task_id = client.send("gated", str(gate), meta, queue=results.queue(other(sender)))
    try:
        wait_until(lambda: client("state", task_id) == ("PROGRESS", meta), what="the state PROGRESS")
    finally:
        gate.touch()
    assert client("outcome", task_id).value == "done"


def test_third_party_reads_results_of_both(results: Fleet, store: str) -> None:
    if store == "rpc":
        # Replies go to the client that called, and to no other.
        return
    ids = [results.client(CELERY).send("echo", library, queue=results.queue(library)) for library in LIBRARIES]
    for library in (CELERIAC, CELERY):
        assert results.client(library)("outcomes", ids) == list(LIBRARIES)
