"""Processes of a worker killed at random under load."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.chaos.conftest import LEASE, SWEEP
from tests.support import SLACK, wait_until
from tests.support.ledger import check_at_least_once, check_at_most_once, repeats
from tests.support.load import progress, publishing
from tests.support.worker import is_running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import Workshop


def none_runs(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


def kill_children(workshop: Workshop, times: int, rng: random.Random) -> None:
    """Kill or stop a random child again and again, as soon as there is a full set of them."""
    (worker,) = workshop.workers
    for _ in range(times):
        children = wait_until(lambda: found if len(found := worker.children) == 2 else [], what="two children")
        progress(workshop, rng.randrange(20))
        with suppress(ProcessLookupError):
            victim = rng.choice(children)
            os.kill(victim, rng.choice((signal.SIGKILL, signal.SIGSTOP)))
            wait_until(lambda victim=victim: not is_running(victim), what="the child is gone")  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        pytest.param("work", 10, marks=pytest.mark.chaos("sample")),
        pytest.param("early", 10, marks=pytest.mark.chaos("sample")),
        pytest.param("work", 10_000, marks=[pytest.mark.chaos("soak"), pytest.mark.timeout(4 * 3600)]),
        pytest.param("early", 1_000, marks=[pytest.mark.chaos("full"), pytest.mark.timeout(3600)]),
    ],
)
def test_random_children_killed(redis_url: str, make_workshop: Callable[..., Workshop], name: str, times: int) -> None:
    workshop = make_workshop(redis_url, task_max_deliveries=None)
    worker = workshop.start()
    with publishing(workshop, name, rate=200) as ids:
        kill_children(workshop, times, random.Random(times))
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    assert worker.alive
    if name == "work":
        wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
        check_at_least_once(workshop.ledger, ids, max_starts=times)
        # A child has one task running, and some that ended within the last milliseconds.
        assert repeats(workshop.ledger) <= times * 5, repeats(workshop.ledger)
    else:
        check_at_most_once(workshop.ledger, ids)


@pytest.mark.parametrize(
    ("name", "times"),
    [
        pytest.param("work", 3, marks=pytest.mark.chaos("sample")),
        pytest.param("early", 3, marks=pytest.mark.chaos("sample")),
        pytest.param("work", 20, marks=pytest.mark.chaos("full")),
        pytest.param("early", 20, marks=pytest.mark.chaos("full")),
    ],
)
@pytest.mark.timeout(900)
def test_worker_killed_again_and_again(
    redis_url: str, make_workshop: Callable[..., Workshop], name: str, times: int
) -> None:
    workshop = make_workshop(redis_url, task_max_deliveries=None)
    rng = random.Random(times)
    with publishing(workshop, name, rate=100) as ids:
        for _ in range(times):
            worker = workshop.start()
            progress(workshop, rng.randrange(30), "start")
            processes = [pid for pid in (worker.spawner, *worker.children) if pid]
            worker.process.send_signal(signal.SIGKILL)
            worker.wait()
            wait_until(partial(none_runs, processes), what="every process is gone")
    workshop.start()
    if name == "work":
        wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
        check_at_least_once(workshop.ledger, ids, max_starts=times + 1)
    else:
        wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
        last = workshop.task("early").delay().id
        ids.append(last)
        wait_until(lambda: workshop.ledger.count("end", id=last), what="the last task ran")
        check_at_most_once(workshop.ledger, ids)


@pytest.mark.chaos("sample")
def test_messages_of_a_killed_worker_return_within_lease_and_sweep(
    redis_url: str, make_workshop: Callable[..., Workshop]
) -> None:
    workshop = make_workshop(redis_url)
    first, second = workshop.start(prefetch_multiplier=1), workshop.start(prefetch_multiplier=1)
    gate = workshop.gate()
    ids = [workshop.task("work").delay(0, str(gate)).id for _ in range(4)]
    wait_until(lambda: workshop.ledger.count("start") == 4, what="every task began")
    processes = set(first.children)
    victims = {record["id"] for record in workshop.ledger.records("start") if record["pid"] in processes}
    gate.touch()
    wait_until(lambda: workshop.ledger.count("end") == 4, what="every task ran")
    gate.unlink()
    ids += [workshop.task("work").delay(0, str(gate)).id for _ in range(4)]
    wait_until(lambda: workshop.ledger.count("start") == 8, what="every task began")
    assert victims
    first.kill()
    gate.touch()
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), LEASE + SWEEP + SLACK, what="every task ran")
    assert second.alive
    check_at_least_once(workshop.ledger, ids, max_starts=2)


@pytest.mark.chaos("sample")
def test_worker_stopped_longer_than_its_lease_does_no_harm(
    redis_url: str, make_workshop: Callable[..., Workshop]
) -> None:
    """What the stopped one held runs elsewhere; when it wakes up its settlements count for nothing."""
    workshop = make_workshop(redis_url)
    sleeper = workshop.start()
    gate = workshop.gate()
    ids = [workshop.task("work").delay(0, str(gate)).id for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="every task began")
    sleeper.send(signal.SIGSTOP)
    workshop.start()
    wait_until(lambda: workshop.ledger.count("start") == 4, what="they began elsewhere")
    sleeper.send(signal.SIGCONT)
    wait_until(lambda: "Connection to broker lost" in sleeper.log, what="the sleeper notices")
    gate.touch()
    wait_until(lambda: workshop.ledger.count("end") == 4, what="every task ended")
    more = [workshop.task("work").delay().id for _ in range(50)]
    wait_until(lambda: set(more) <= set(workshop.ledger.by_id("end")), what="both go on")
    check_at_least_once(workshop.ledger, [*ids, *more], max_starts=2)
    assert repeats(workshop.ledger) == 2


@pytest.mark.chaos("sample")
def test_stopped_child_is_replaced_at_its_hard_limit(redis_url: str, make_workshop: Callable[..., Workshop]) -> None:
    workshop = make_workshop(redis_url)
    worker = workshop.start(concurrency=1)
    result = workshop.task("work").apply_async((0, str(workshop.gate())), time_limit=2.5)
    wait_until(lambda: workshop.ledger.count("start", id=result.id), what="the task began")
    os.kill(worker.children[0], signal.SIGSTOP)
    after = workshop.task("work").delay()
    wait_until(lambda: workshop.ledger.count("end", id=after.id), what="the next task ran")


@pytest.mark.chaos("sample")
def test_spawner_killed_under_load(redis_url: str, make_workshop: Callable[..., Workshop]) -> None:
    workshop = make_workshop(redis_url)
    with publishing(workshop, "work", rate=200) as ids:
        for _ in range(2):
            worker = workshop.start()
            progress(workshop, 30)
            assert worker.spawner is not None
            os.kill(worker.spawner, signal.SIGKILL)
            assert worker.wait() == 1
    workshop.start()
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    check_at_least_once(workshop.ledger, ids, max_starts=3)


@pytest.mark.parametrize(
    "times", [pytest.param(2, marks=pytest.mark.chaos("sample")), pytest.param(15, marks=pytest.mark.chaos("full"))]
)
def test_warm_shutdowns_under_load_repeat_nothing(
    redis_url: str, make_workshop: Callable[..., Workshop], times: int
) -> None:
    workshop = make_workshop(redis_url, broker_lease=30.0)
    rng = random.Random(times)
    with publishing(workshop, "work", rate=200) as ids:
        for _ in range(times):
            worker = workshop.start()
            progress(workshop, rng.randrange(50))
            assert worker.stop() == 0
    workshop.start()
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    check_at_least_once(workshop.ledger, ids, max_starts=1)
