"""One library takes over what the other left behind: full queues, and messages of a killed worker."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import open_broker
from celeriac.broker.base import DelayReleasing
from tests.interop.fleet import CELERIAC, CELERY, LIBRARIES, other
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.interop.fleet import Fleet

#: By these settings both notice abandoned messages on Redis within seconds instead of an hour.
HASTE = {
    "broker_transport_options": {"visibility_timeout": 4, "unacked_restore_interval": 1, "unacked_restore_throttle": 1},
    "broker_lease": 4.0,
    "broker_sweep_interval": 0.5,
}


@pytest.fixture
def own_fleet(broker: str, make_fleet: Callable[..., Fleet], request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """A fleet without workers."""
    redis = request.getfixturevalue("redis_database")
    conf: dict[str, Any] = {"broker_url": redis, "result_backend": redis, "task_acks_late": True}
    if broker != "redis":
        conf["broker_url"] = request.getfixturevalue("amqp_url")
    yield make_fleet(**conf)


def processes_of(pid: int) -> list[int]:
    """A process and everything below it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in processes_of(int(child)))]


def kill_all(pid: int) -> None:
    """End a worker whole, without asking: children on their own would finish what they run."""
    for each in processes_of(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@pytest.mark.parametrize("taker", LIBRARIES)
def test_full_queue_is_taken_over(own_fleet: Fleet, taker: str) -> None:
    queue = own_fleet.queue(taker)
    client = own_fleet.client(other(taker))
    ids = client("send_many", "nap", 200, queue=queue, kwargs={"seconds": 0})
    ids += client("send_copies", "echo", 10, "late", queue=queue, countdown=1)
    ids += client("send_copies", "echo", 10, "packed" * 100, queue=queue, compression="gzip", serializer="pickle")
    ids += [client.send("echo", each, queue=queue, priority=each) for each in range(10)]
    own_fleet.start_worker(taker)
    expected = [*range(200), *["late"] * 10, *["packed" * 100] * 10, *range(10)]
    assert client("outcomes", ids) == expected
    ran = [record["id"] for record in own_fleet.ledger.records() if record["library"] == taker]
    assert sorted(ran) == sorted(ids)


@pytest.mark.parametrize("killed", LIBRARIES)
def test_messages_of_a_killed_worker_are_taken_over(own_fleet: Fleet, broker: str, killed: str) -> None:
    if broker == "redis":
        own_fleet.conf |= HASTE
    queue, gate = own_fleet.queue(killed), own_fleet.gate()
    client = own_fleet.client(other(killed))
    ids = client("send_copies", "gated", 12, str(gate), queue=queue)
    worker = own_fleet.start_worker(killed)
    wait_until(lambda: own_fleet.ledger.count("begin") == 2, what="both children are busy")
    # Celery pops a message first and records it then: killed in between, it loses it, and nobody can bring it back.
    # A worker that holds all it may hold, pops nothing.
    wait_until(lambda: worker.log.count("] received") >= 8, what="the worker holds all it may")
    kill_all(worker.pid)
    gate.touch()
    own_fleet.start_worker(other(killed), queue=queue)
    assert client("outcomes", ids) == ["done"] * 12
    ended = own_fleet.ledger.by_id("end")
    assert ended == dict.fromkeys(ids, 1)
    begun = own_fleet.ledger.by_id("begin")
    assert sorted(begun.values()) == [1] * 10 + [2] * 2


def test_workers_exchange_places_without_loss(own_fleet: Fleet) -> None:
    """A migration and its rollback under load: each worker is stopped as an operator would stop it."""
    queue = f"{own_fleet.prefix}.moving"
    ids = own_fleet.client(CELERY)("send_many", "nap", 150, queue=queue, kwargs={"seconds": 0.01})
    for library in (CELERY, CELERIAC, CELERY):
        before = own_fleet.ledger.count("nap")
        worker = own_fleet.start_worker(library, queue=queue)
        wait_until(lambda before=before: own_fleet.ledger.count("nap") >= before + 20, what="some tasks")  # type: ignore[misc]
        worker.stop()
        ids += own_fleet.client(other(library))("send_many", "nap", 20, queue=queue, kwargs={"seconds": 0.01})
    own_fleet.start_worker(CELERIAC, queue=queue)
    own_fleet.client(CELERIAC)("outcomes", ids)
    ran: dict[str, list[str]] = {}
    for record in own_fleet.ledger.records("nap"):
        ran.setdefault(record["id"], []).append(record["library"])
    assert set(ran) == set(ids)
    # Celery, stopped on a busy machine, gives back some tasks that have run; Celeriac repeats none by itself.
    repeated = {task_id: where for task_id, where in ran.items() if len(where) > 1}
    assert all(where[0] == CELERY and len(where) == 2 for where in repeated.values()), repeated


def test_released_delays_are_held_by_celery(make_fleet: Callable[..., Fleet], redis_database: str) -> None:
    fleet = make_fleet(broker_url=redis_database, result_backend=redis_database)
    queue = f"{fleet.prefix}.released"
    worker = fleet.start_worker(CELERIAC, queue=queue)
    ids = fleet.client(CELERIAC)("send_copies", "echo", 3, "late", queue=queue, countdown=20)
    worker.stop()
    with contextlib.closing(open_broker(redis_database).connect()) as session:
        assert isinstance(session, DelayReleasing)
        assert session.release_delayed() == {queue: 3}
    holder = fleet.start_worker(CELERY, queue=queue)
    wait_until(lambda: holder.log.count("] received") == 3, what="Celery has them")
    assert fleet.client(CELERY)("outcomes", ids) == ["late"] * 3
