"""Brokers that are restarted, killed or stopped while tasks run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import OperationalError
from tests.chaos.conftest import RECOVERY
from tests.support import PATIENCE, SLACK, wait_until
from tests.support.ledger import check_at_least_once, check_at_most_once, repeats
from tests.support.load import progress, publishing
from tests.support.private import PrivatePostgreSQL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.private import PrivateServer
    from tests.support.worker import Workshop

#: Tasks a worker may hold whose acknowledgement a fault can hide.
IN_FLIGHT = 500


def wait_recovery(workshop: Workshop, notice: float = 0.0) -> str:
    """Publish a task and wait until it runs; returns its id.

    Args:
        workshop: Whose workers recover.
        notice: Seconds they need to notice the fault.
    """
    deadline = time.monotonic() + RECOVERY + SLACK + notice
    while True:
        try:
            task_id = str(workshop.task("work").delay().id)
            break
        except OperationalError:
            assert time.monotonic() < deadline, "the client did not recover in time"
    wait_until(
        lambda: workshop.ledger.count("end", id=task_id),
        timeout=deadline - time.monotonic(),
        what="a task runs again",
    )
    return task_id


def fault(server: PrivateServer, how: str) -> None:
    """Take the server away and bring it back."""
    if how == "restart":
        server.stop()
        server.start()
    elif how == "kill":
        server.kill()
        server.start()
    else:
        server.pause()
        # The time the server is away is the fault itself.
        time.sleep(float(how.removeprefix("pause ")))
        server.resume()


FAULTS = [
    pytest.param("restart", 2, marks=pytest.mark.chaos("sample")),
    pytest.param("kill", 2, marks=pytest.mark.chaos("sample")),
    pytest.param("pause 1", 1, marks=pytest.mark.chaos("sample")),
    pytest.param("pause 3", 1, marks=pytest.mark.chaos("sample")),
    pytest.param("restart", 10, marks=pytest.mark.chaos("full")),
    pytest.param("kill", 10, marks=pytest.mark.chaos("full")),
    pytest.param("pause 15", 2, marks=pytest.mark.chaos("full")),
    pytest.param("pause 60", 1, marks=pytest.mark.chaos("full")),
]


def outlive(server: PrivateServer, make_workshop: Callable[..., Workshop], how: str, times: int) -> None:
    workshop = make_workshop(server.url)
    worker = workshop.start()
    done = []
    with publishing(workshop, "work", rate=100) as ids:
        for _ in range(times):
            progress(workshop, 20)
            fault(server, how)
            done.append(wait_recovery(workshop))
    ids += done
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    assert worker.alive
    started = set(workshop.ledger.by_id("start"))
    # A publish that failed may have been accepted all the same.
    check_at_least_once(workshop.ledger, set(ids) | started, max_starts=times + 1)
    assert repeats(workshop.ledger) <= times * IN_FLIGHT


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("how", "times"), FAULTS)
def test_late_tasks_outlive_their_broker(
    server: PrivateServer, make_workshop: Callable[..., Workshop], how: str, times: int
) -> None:
    outlive(server, make_workshop, how, times)


@pytest.mark.chaos("sample")
def test_late_tasks_outlive_a_killed_postgresql(tmp_path: Path, make_workshop: Callable[..., Workshop]) -> None:
    """What of the other brokers is tried in every run; the rest is left to the full level."""
    server = PrivatePostgreSQL(tmp_path)
    server.start()
    try:
        outlive(server, make_workshop, "kill", 1)
    finally:
        server.close()


@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=pytest.mark.chaos("sample")) for how in ("restart", "kill", "pause 3")]
)
def test_early_tasks_run_once_across_a_fault_of_their_broker(
    server: PrivateServer, make_workshop: Callable[..., Workshop], how: str
) -> None:
    workshop = make_workshop(server.url)
    worker = workshop.start()
    with publishing(workshop, "early", rate=100):
        progress(workshop, 20)
        fault(server, how)
        wait_recovery(workshop)
        progress(workshop, 20)
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    assert worker.alive
    if how == "kill" and server.url.startswith("amqp:"):
        # RabbitMQ does not have acknowledgements on disk when it answers: killed, it may forget the last of them.
        assert max(workshop.ledger.by_id("start").values()) <= 2
    else:
        check_at_most_once(workshop.ledger)


@pytest.mark.chaos("sample")
def test_task_that_ends_while_the_broker_is_away_is_not_repeated(
    server: PrivateServer, make_workshop: Callable[..., Workshop]
) -> None:
    """The worker remembers what it has done, and acknowledges it when the message comes again."""
    workshop = make_workshop(server.url)
    workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="both began")
    server.kill()
    gate.touch()
    wait_until(lambda: workshop.ledger.count("end") == 2, what="both ended")
    server.start()
    last = wait_recovery(workshop)
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    check_at_least_once(workshop.ledger, [*(result.id for result in results), last], max_starts=1)


@pytest.mark.chaos("sample")
def test_results_wait_for_their_store(
    server: PrivateServer, redis_url: str, make_workshop: Callable[..., Workshop]
) -> None:
    stores = {"redis": server.url, "postgresql": f"db+{server.url}", "amqp": None}
    store = stores[server.url.partition(":")[0]]
    if store is None:
        # Results as messages go by way of the client's own queue: nothing of RabbitMQ is a store.
        return
    workshop = make_workshop(redis_url, result_backend=store, broker_lease=30.0)
    worker = workshop.start()
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(10)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="two began")
    server.kill()
    gate.touch()
    wait_until(lambda: "Cannot store" in worker.log, what="the worker cannot store results")
    server.start()
    for result in results:
        assert result.get(timeout=PATIENCE) == result.id
    check_at_least_once(workshop.ledger, [result.id for result in results], max_starts=1)
