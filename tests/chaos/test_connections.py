"""Connections that are cut, reset, or go silent between a worker and its broker."""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import LEASE
from tests.chaos.test_servers import IN_FLIGHT, wait_recovery
from tests.support import wait_until
from tests.support.ledger import check_at_least_once, check_at_most_once, repeats
from tests.support.load import progress, publishing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.chaosproxy import ChaosProxy
    from tests.support.private import PrivateServer
    from tests.support.worker import Workshop


@pytest.fixture
def workshop(server: PrivateServer, proxied_url: str, make_workshop: Callable[..., Workshop]) -> Workshop:
    """Workers reach the broker by way of the proxy, the client directly."""
    return make_workshop(server.url, worker_conf={"broker_url": proxied_url})


def finish(workshop: Workshop, ids: list[str], *, max_starts: int) -> None:
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    check_at_least_once(workshop.ledger, ids, max_starts=max_starts)


def has_accepted(proxy: ChaosProxy, count: int) -> bool:
    return proxy.accepted >= count


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", ["cut", "reset"])
@pytest.mark.parametrize(
    "times", [pytest.param(5, marks=pytest.mark.chaos("sample")), pytest.param(200, marks=pytest.mark.chaos("full"))]
)
def test_connections_lost_again_and_again(workshop: Workshop, proxy: ChaosProxy, how: str, times: int) -> None:
    worker = workshop.start()
    files = open_files(worker.pid)
    rng = random.Random(times)
    with publishing(workshop, "work", rate=100) as ids:
        for _ in range(times):
            progress(workshop, rng.randrange(1, 20))
            getattr(proxy, how)()
        ids.append(wait_recovery(workshop))
    finish(workshop, ids, max_starts=times)
    assert repeats(workshop.ledger) <= times * IN_FLIGHT
    wait_until(lambda: open_files(worker.pid) <= files + 2, what="no file is left open")


@pytest.mark.chaos("sample")
def test_three_resets_in_a_row_while_the_worker_reconnects(workshop: Workshop, proxy: ChaosProxy) -> None:
    worker = workshop.start()
    with publishing(workshop, "work", rate=100) as ids:
        progress(workshop, 20)
        for _ in range(3):
            accepted = proxy.accepted
            proxy.reset()
            wait_until(partial(has_accepted, proxy, accepted + 1), what="the worker reconnects")
        ids.append(wait_recovery(workshop))
    finish(workshop, ids, max_starts=5)
    assert worker.alive


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "limits",
    [
        pytest.param([0, 1, 40, 200, 700], marks=pytest.mark.chaos("sample")),
        pytest.param(list(range(0, 4000, 41)), marks=pytest.mark.chaos("full")),
    ],
    ids=["some", "many"],
)
def test_connection_reset_after_any_number_of_bytes(workshop: Workshop, proxy: ChaosProxy, limits: list[int]) -> None:
    worker = workshop.start()
    with publishing(workshop, "work", rate=50) as ids:
        for limit in limits:
            proxy.cut_after(limit)
            accepted = proxy.accepted
            proxy.reset()
            wait_until(partial(has_accepted, proxy, accepted + 2), what="two attempts")
            proxy.cut_after(None)
            proxy.reset()
            ids.append(wait_recovery(workshop))
    finish(workshop, ids, max_starts=5)
    assert worker.alive


@pytest.mark.chaos("sample")
def test_connection_that_went_silent_is_replaced(workshop: Workshop, proxy: ChaosProxy) -> None:
    """Half-open: no FIN, no RST; new connections would work."""
    worker = workshop.start()
    with publishing(workshop, "work", rate=50) as ids:
        progress(workshop, 20)
        proxy.freeze()
        # RabbitMQ's side is taken for dead after two heartbeats.
        ids.append(wait_recovery(workshop, notice=2 * LEASE))
    finish(workshop, ids, max_starts=3)
    assert "Connection to broker lost" in worker.log


@pytest.mark.parametrize(
    "seconds", [pytest.param(3, marks=pytest.mark.chaos("sample")), pytest.param(30, marks=pytest.mark.chaos("full"))]
)
def test_silent_partition_heals(workshop: Workshop, proxy: ChaosProxy, seconds: float) -> None:
    worker = workshop.start()
    with publishing(workshop, "work", rate=50) as ids:
        progress(workshop, 20)
        proxy.blackhole()
        # The time of silence is the fault itself.
        time.sleep(seconds)
        proxy.heal()
        ids.append(wait_recovery(workshop))
    finish(workshop, ids, max_starts=3)
    assert worker.alive


@pytest.mark.chaos("sample")
def test_early_tasks_run_once_though_connections_break(workshop: Workshop, proxy: ChaosProxy) -> None:
    workshop.start()
    rng = random.Random(1)
    with publishing(workshop, "early", rate=200) as ids:
        for _ in range(20):
            progress(workshop, rng.randrange(1, 20))
            proxy.reset()
        ids.append(wait_recovery(workshop))
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    check_at_most_once(workshop.ledger, ids)


@pytest.mark.chaos("sample")
def test_worker_that_never_got_a_connection_starts_when_it_can(workshop: Workshop, proxy: ChaosProxy) -> None:
    proxy.refuse()
    worker = workshop.start(wait=False)
    wait_until(lambda: "Trying again in" in worker.log, what="the worker tries")
    proxy.heal()
    worker.wait_ready()
    wait_recovery(workshop)
