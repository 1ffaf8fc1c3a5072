"""Results as messages: waiting across lost connections, other serializers, and what is refused."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.backend import BackendOptions, ResultRecord, open_backend
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.testing.contracts.broker_subject import until
from tests.support import PATIENCE, SLACK, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.backend import ResultBackend
    from celeriac.drivers.amqp import Channel
    from tests.integration.amqp.proxy import Proxy


@pytest.fixture
def backend_for(amqp_url: str) -> Iterator[Callable[..., ResultBackend]]:
    """Makes backends on the broker, or on that of another URL."""
    made: list[ResultBackend] = []

    def make(url: str = amqp_url, **options: Any) -> ResultBackend:
        made.append(open_backend("rpc://", BackendOptions(settings={"broker_url": url}, **options)))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def success(task_id: str, reply_to: str | None, result: Any = None) -> ResultRecord:
    return ResultRecord(task_id, "SUCCESS", result, reply_to=reply_to, correlation_id=task_id)


def test_a_wait_outlives_its_connection(backend_for: Callable[..., ResultBackend], proxy: Proxy) -> None:
    client, worker = backend_for(proxy.url), backend_for()
    task_id = servers.unique()
    reply_to = client.expect([task_id])
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.extend(client.watch([task_id], timeout=PATIENCE)))
    thread.start()
    thread.join(0.1)
    proxy.cut()
    # Sent while the client may not have come back yet.
    worker.store_many([success(task_id, reply_to, 42)])
    thread.join(PATIENCE)
    assert [record.result for record in got] == [42]


def test_a_broker_that_stays_away_ends_a_wait(backend_for: Callable[..., ResultBackend], proxy: Proxy) -> None:
    client = backend_for(proxy.url, timeout=0.5)
    client.expect(["x"])
    proxy.close()
    started = time.monotonic()
    with pytest.raises(OperationalError):
        list(client.watch(["x"], timeout=10 * PATIENCE))
    assert time.monotonic() - started < 0.5 + SLACK


def test_a_result_is_read_once(backend_for: Callable[..., ResultBackend]) -> None:
    backend = backend_for()
    task_id = servers.unique()
    backend.store_many([success(task_id, backend.expect([task_id]))])
    assert [record.task_id for record in backend.watch([task_id], timeout=PATIENCE)] == [task_id]
    assert backend.load_many([task_id]) == {}


def test_two_threads_may_wait_for_one_result(backend_for: Callable[..., ResultBackend]) -> None:
    client, worker = backend_for(), backend_for()
    task_id = servers.unique()
    reply_to = client.expect([task_id])
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.extend(client.watch([task_id], timeout=PATIENCE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: client._mine()._waiting[task_id] == 3, "all wait")  # type: ignore[attr-defined]
    worker.store_many([success(task_id, reply_to, "shared")])
    for thread in threads:
        thread.join(PATIENCE)
    assert [record.result for record in got] == ["shared"] * 3


def test_messages_are_those_of_celery(backend_for: Callable[..., ResultBackend], channel: Channel) -> None:
    queue = servers.unique()
    channel.queue_declare(queue)
    record = ResultRecord(
        "t1", "SUCCESS", 5, None, [], "2026-11-20T11:17:53+00:00", reply_to=queue, correlation_id="t1"
    )
    backend_for().store_many([record])
    got = until(lambda: channel.basic_get(queue, no_ack=True), "the result is there")
    assert got.exchange == ""
    assert got.properties == {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "delivery_mode": 1,
        "correlation_id": "t1",
        "expiration": "86400000",
    }
    assert got.body == (
        b'{"status": "SUCCESS", "result": 5, "traceback": null, "children": [], '
        b'"date_done": "2026-11-20T11:17:53+00:00", "task_id": "t1"}'
    )


@pytest.mark.parametrize("options", [{"serializer": "pickle"}, {"compression": "gzip"}, {"persistent": True}])
def test_a_worker_may_encode_otherwise(backend_for: Callable[..., ResultBackend], options: dict[str, Any]) -> None:
    accept = frozenset({"application/json", "application/x-python-serialize"})
    client, worker = backend_for(accept=accept), backend_for(accept=accept, **options)
    task_id = servers.unique()
    worker.store_many([success(task_id, client.expect([task_id]), ["x" * 5000])])
    (got,) = client.watch([task_id], timeout=PATIENCE)
    assert got.result == ["x" * 5000]


def test_results_nobody_waits_for_are_not_sent(backend_for: Callable[..., ResultBackend]) -> None:
    backend_for().store_many([success("t", None), success("t", "")])


def test_a_broker_without_amqp_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"rpc://.*redis://:\*\*@host"):
        open_backend("rpc://", BackendOptions(settings={"broker_url": "redis://:secret@host"}))
    with pytest.raises(ImproperlyConfigured, match="broker_url is not set"):
        open_backend("rpc://")


def test_the_next_server_of_a_failover_list_is_used(backend_for: Callable[..., ResultBackend], amqp_url: str) -> None:
    backend = backend_for(f"amqp://guest:guest@127.0.0.1:{servers.free_port()}//;{amqp_url}")
    task_id = servers.unique()
    backend.store_many([success(task_id, backend.expect([task_id]), 1)])
    assert [record.result for record in backend.watch([task_id], timeout=PATIENCE)] == [1]
