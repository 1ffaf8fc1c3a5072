"""Wrong clocks, a process that lets none of its threads run, one of two servers out of reach, and no descriptors."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.chaos.conftest import LEASE
from tests.support import PATIENCE, wait_until
from tests.support.chaosproxy import ChaosProxy
from tests.support.ledger import check_at_least_once
from tests.support.load import progress, publishing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.worker import Workshop

#: Moves the clock of a process by so many seconds, from its first line on.
WRONG_CLOCK = """
import os, time
_real, _offset = time.time, float(os.environ["CLOCK_OFFSET"])
time.time = lambda: _real() + _offset
time.time_ns = lambda: int(time.time() * 1e9)
"""
_DAY = 86_400.0


@pytest.fixture
def redis_proxy(redis_url: str) -> Iterator[ChaosProxy]:
    """A proxy in front of the Redis server."""
    parts = urlsplit(redis_url)
    proxy = ChaosProxy(parts.hostname or "", parts.port or 6379)
    yield proxy
    proxy.close()


def through(url: str, proxy: ChaosProxy) -> str:
    """The URL of the same database by way of a proxy."""
    return urlsplit(url)._replace(netloc=f"127.0.0.1:{proxy.port}").geturl()


@pytest.mark.chaos("sample")
def test_wrong_clocks_of_workers_do_no_harm(
    redis_url: str, make_workshop: Callable[..., Workshop], tmp_path: Path
) -> None:
    """Leases are in the time of the broker, and so are delays."""
    (tmp_path / "sitecustomize.py").write_text(WRONG_CLOCK)
    workshop = make_workshop(redis_url)
    for days in (-30, 30):
        workshop.start(env={"PYTHONPATH": str(tmp_path), "CLOCK_OFFSET": str(days * _DAY)})
    ids = [workshop.task("work").apply_async((0.01,), countdown=place % 3).id for place in range(30)]
    # As long as it takes for a worker to take the other for dead.
    ids.append(workshop.task("work").delay(2 * LEASE).id)
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    check_at_least_once(workshop.ledger, ids, max_starts=1)
    assert all(abs(record["at"] - time.time()) > _DAY for record in workshop.ledger.records())


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param("prefork", marks=pytest.mark.chaos("sample")),
        pytest.param("asyncio", marks=pytest.mark.chaos("full")),
    ],
)
def test_task_that_holds_the_interpreter_longer_than_the_lease_runs_once(
    redis_url: str, make_workshop: Callable[..., Workshop], pool: str
) -> None:
    workshop = make_workshop(redis_url)
    for _ in range(2):
        workshop.start(pool=pool, concurrency=1)
    ids = [workshop.task("hog").delay(2 * LEASE).id]
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="the task ran")
    check_at_least_once(workshop.ledger, ids, max_starts=1)


@pytest.mark.chaos("sample")
def test_result_reaches_its_store_though_the_broker_is_out_of_reach(
    redis_url: str, redis_proxy: ChaosProxy, make_workshop: Callable[..., Workshop]
) -> None:
    conf = {"broker_url": through(redis_url, redis_proxy)}
    workshop = make_workshop(redis_url, worker_conf=conf, result_backend=redis_url, broker_lease=30.0)
    workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="both began")
    redis_proxy.blackhole()
    gate.touch()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]
    redis_proxy.heal()
    redis_proxy.reset()
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=1)


@pytest.mark.chaos("sample")
def test_tasks_wait_for_a_store_that_is_out_of_reach(
    redis_url: str, redis_proxy: ChaosProxy, make_workshop: Callable[..., Workshop]
) -> None:
    conf = {"result_backend": through(redis_url, redis_proxy)}
    workshop = make_workshop(redis_url, worker_conf=conf, result_backend=redis_url, broker_lease=30.0)
    worker = workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="both began")
    redis_proxy.refuse()
    redis_proxy.reset()
    gate.touch()
    wait_until(lambda: "Cannot store" in worker.log, what="the worker cannot store results")
    redis_proxy.heal()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=1)


@pytest.mark.chaos("sample")
def test_worker_without_descriptors_recovers_when_there_are_some(
    redis_url: str, redis_proxy: ChaosProxy, make_workshop: Callable[..., Workshop]
) -> None:
    conf = {"broker_url": through(redis_url, redis_proxy)}
    workshop = make_workshop(redis_url, worker_conf=conf, broker_connection_max_retries=None)
    worker = workshop.start()
    with publishing(workshop, "work", rate=50) as ids:
        progress(workshop, 10)
        before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
        # No more than the standard streams and what is open by accident of their number.
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        redis_proxy.reset()
        wait_until(lambda: "Too many open files" in worker.log, what="the worker is short of descriptors")
        assert os.path.exists(f"/proc/{worker.pid}")  # noqa: PTH110 - of a process
        resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
        progress(workshop, 10)
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    assert worker.alive
