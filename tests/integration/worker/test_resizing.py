"""Pools that grow, shrink and are replaced while tasks run."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.load import progress, publishing

if TYPE_CHECKING:
    from tests.support.worker import RunningWorker, Workshop


def tell(workshop: Workshop, command: str, **arguments: Any) -> Any:
    """The answer of the only worker."""
    name = "w0@test"
    replies = workshop.app.control.broadcast(command, arguments=arguments, reply=True, limit=1, timeout=PATIENCE)
    return next(reply[name] for reply in replies or () if name in reply)


def wait_for_children(worker: RunningWorker, count: int) -> None:
    wait_until(lambda: len(worker.children) == count, what=f"there are {count} children")


def check_once_each(workshop: Workshop, ids: list[str]) -> None:
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    assert set(workshop.ledger.by_id("start").values()) == {1}


def test_prefork_grows_and_shrinks_under_load_and_loses_nothing(workshop: Workshop) -> None:
    worker = workshop.start(concurrency=1)
    with publishing(workshop, "work", rate=200) as ids:
        for _ in range(3):
            assert tell(workshop, "pool_grow", n=3) == {"ok": "pool will grow"}
            wait_for_children(worker, 4)
            progress(workshop, 20)
            assert tell(workshop, "pool_shrink", n=3) == {"ok": "pool will shrink"}
            wait_for_children(worker, 1)
            progress(workshop, 20)
    check_once_each(workshop, ids)
    assert "error" in tell(workshop, "pool_shrink", n=1)
    assert "exited with" not in worker.log


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_pool_of_one_process_grows(workshop: Workshop, pool: str) -> None:
    workshop.start(pool=pool, concurrency=1)
    gate = workshop.gate()
    name = "awork" if pool == "asyncio" else "work"
    results = [workshop.task(name).apply_async(kwargs={"gate": str(gate)}) for _ in range(3)]
    wait_until(lambda: workshop.ledger.count("start") == 1, what="one began")
    assert tell(workshop, "pool_grow", n=1) == {"ok": "pool will grow"}
    wait_until(lambda: workshop.ledger.count("start") == 3, what="the others began in a new process")
    gate.touch()
    for result in results:
        assert result.get(timeout=PATIENCE) == result.id
    assert len({record["pid"] for record in workshop.ledger.records("start")}) == 2


def test_autoscaled_pool_follows_the_number_of_tasks(workshop: Workshop) -> None:
    worker = workshop.start(autoscale="4,1", env={"AUTOSCALE_KEEPALIVE": "0.1"})
    assert "{min=1, max=4} (prefork)" in worker.log
    gate = workshop.gate()
    ids = [workshop.task("work").delay(0, str(gate)).id for _ in range(10)]
    wait_until(lambda: workshop.ledger.count("start") == 4, what="four run at once")
    assert tell(workshop, "autoscale", max=5, min=2) == {"ok": "autoscale now max=5 min=2"}
    wait_until(lambda: workshop.ledger.count("start") == 5, what="five run at once")
    assert "error" in tell(workshop, "pool_grow", n=1)
    gate.touch()
    check_once_each(workshop, ids)
    wait_for_children(worker, 2)
    stats = workshop.app.control.inspect(timeout=PATIENCE, limit=1).stats()["w0@test"]
    assert stats["autoscaler"] == {"max": 5, "min": 2, "current": 2, "qty": 0}


def test_pool_restart_replaces_children_and_repeats_nothing(workshop: Workshop) -> None:
    worker = workshop.start(conf={"worker_pool_restarts": True})
    with publishing(workshop, "work", rate=200) as ids:
        progress(workshop, 20)
        before = set(worker.children)
        assert tell(workshop, "pool_restart") == {"ok": "reload started"}
        wait_until(lambda: not before & set(worker.children), what="the children are others")
        progress(workshop, 20)
    check_once_each(workshop, ids)
    assert len(worker.children) == 2


def test_stopped_child_is_replaced_at_once(workshop: Workshop) -> None:
    worker = workshop.start(concurrency=1)
    (child,) = worker.children
    os.kill(child, signal.SIGSTOP)
    result = workshop.task("work").delay()
    assert result.get(timeout=PATIENCE) == result.id
    assert workshop.ledger.count("start", id=result.id) == 1
    assert worker.children != [child]


def test_child_stopped_while_it_starts_is_replaced(workshop: Workshop) -> None:
    workshop.worker_conf["stop_first_child"] = True
    worker = workshop.start(concurrency=1)
    result = workshop.task("work").delay()
    assert result.get(timeout=PATIENCE) == result.id
    assert "stopped by a signal, and killed for that" in worker.log
