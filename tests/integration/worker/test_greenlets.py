"""Pools of greenlets: what their tasks may rely on, their limits, and how they end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.exceptions import TaskRevokedError, TimeLimitExceeded
from tests.integration.worker.test_resizing import tell
from tests.support import PATIENCE, servers, wait_until
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARIES = ("gevent", "eventlet")
CONCURRENCY = 500


@pytest.fixture(scope="module", params=[(name, broker) for name in LIBRARIES for broker in ("redis", "amqp")], ids=str)
def pool(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """A worker of each library on each broker, which the tests leave as it was."""
    name, broker = request.param
    results = f"{redis_server}/4"
    conf = {"broker_url": results, "result_backend": results, "task_default_queue": servers.unique("greenlets")}
    with servers.rabbitmq_vhost(servers.unique("greenlets")) as vhost:
        if broker == "amqp":
            conf["broker_url"] = vhost
        workshop = Workshop(conf, tmp_path_factory.mktemp("greenlets"))
        try:
            worker = workshop.start(pool=name, concurrency=CONCURRENCY)
            yield workshop
            assert worker.stop() == 0
            assert "CRITICAL" not in worker.log, worker.log[-4000:]
            assert workshop.depth() == 0
        finally:
            workshop.close()


def test_hundreds_of_sleeping_tasks_run_at_once_in_one_process(pool: Workshop) -> None:
    results = [pool.task("gather").delay(CONCURRENCY) for _ in range(CONCURRENCY)]
    assert len({result.get(timeout=PATIENCE) for result in results}) == 1


def test_tasks_publish_and_wait_for_results_side_by_side(pool: Workshop) -> None:
    results = [pool.task("calls").delay(n) for n in range(30)]
    assert [result.get(timeout=PATIENCE) for result in results] == [2 * n for n in range(30)]


def test_failures_and_retries(pool: Workshop) -> None:
    with pytest.raises(ValueError, match="broken"):
        pool.task("fail").delay("broken").get(timeout=PATIENCE)
    assert pool.task("retry").delay(2).get(timeout=PATIENCE) == 2


def test_each_greenlet_sees_its_own_request_and_context(pool: Workshop) -> None:
    results = [pool.task("who").delay(20) for _ in range(20)]
    for result in results:
        own = ["who", result.id, result.id]
        assert result.get(timeout=PATIENCE) == sorted([[*own, None], [*own, result.id]], key=repr)


def test_soft_limit_is_raised_where_the_task_waits(pool: Workshop) -> None:
    assert pool.task("soft").apply_async(soft_time_limit=0.3).get(timeout=PATIENCE) == "cleaned up after 0.3"


def test_hard_limit_ends_one_greenlet_and_leaves_the_others(pool: Workshop) -> None:
    gate = pool.gate("hard")
    other = pool.task("work").delay(0, str(gate))
    wait_until(lambda: pool.ledger.count("start", id=other.id), what="the other began")
    limited = pool.task("ended").apply_async(time_limit=0.5)
    with pytest.raises(TimeLimitExceeded):
        limited.get(timeout=PATIENCE)
    wait_until(lambda: pool.ledger.count("ended", id=limited.id, by="GreenletExit"), what="it was ended")
    gate.touch()
    assert other.get(timeout=PATIENCE) == other.id
    assert pool.ledger.count("start", id=other.id) == 1


@pytest.mark.parametrize("name", ["ended", "awork"])
def test_terminating_a_task_ends_its_greenlet_and_no_other(pool: Workshop, name: str) -> None:
    gate = pool.gate(f"terminate-{name}")
    other = pool.task("work").delay(0, str(gate))
    one = pool.task(name).delay(*((str(gate),) if name == "awork" else ()))
    wait_until(lambda: pool.ledger.count("start", id=one.id), what="it began")
    wait_until(lambda: pool.ledger.count("start", id=other.id), what="the other began")
    one.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        one.get(timeout=PATIENCE)
    assert pool.ledger.count("cancelled" if name == "awork" else "ended", id=one.id) == 1
    gate.touch()
    assert other.get(timeout=PATIENCE) == other.id


def test_statistics_are_those_of_celerys_pools(pool: Workshop) -> None:
    pid = pool.task("pid").delay().get(timeout=PATIENCE)
    replies = pool.app.control.inspect(timeout=PATIENCE, limit=1).stats() or {}
    stats: dict[str, Any] = replies["w0@test"]["pool"]
    assert stats["implementation"] in {f"celery.concurrency.{name}:TaskPool" for name in LIBRARIES}
    assert stats["max-concurrency"] == stats["free-threads"] + stats["running-threads"] == CONCURRENCY
    assert stats["processes"] == [pid]


@pytest.mark.parametrize("name", LIBRARIES)
def test_process_of_a_task_that_never_waits_is_replaced_at_its_hard_limit(workshop: Workshop, name: str) -> None:
    worker = workshop.start(pool=name)
    with pytest.raises(TimeLimitExceeded):
        workshop.task("busy").apply_async(time_limit=0.5).get(timeout=PATIENCE)
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    assert worker.alive


@pytest.mark.parametrize("name", LIBRARIES)
def test_cold_shutdown_ends_greenlets_and_gives_them_back(workshop: Workshop, name: str) -> None:
    worker = workshop.start(pool=name)
    results = [workshop.task("ended").delay() for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="tasks began")
    worker.stop(signal.SIGQUIT)
    assert workshop.ledger.count("ended", by="GreenletExit") == 2
    assert workshop.depth() == len(results)


@pytest.mark.parametrize("name", LIBRARIES)
def test_pool_of_greenlets_grows_shrinks_and_restarts_without_interrupting(workshop: Workshop, name: str) -> None:
    worker = workshop.start(pool=name, concurrency=1, conf={"worker_pool_restarts": True})
    gate = workshop.gate()
    first = workshop.task("work").delay(0, str(gate))
    wait_until(lambda: workshop.ledger.count("start", id=first.id), what="the first began")
    assert tell(workshop, "pool_grow", n=2) == {"ok": "pool will grow"}
    others = [workshop.task("work").delay(0, str(gate)) for _ in range(3)]
    wait_until(lambda: workshop.ledger.count("start") == 4, what="three more run at once")
    assert tell(workshop, "pool_shrink", n=1) == {"ok": "pool will shrink"}
    assert tell(workshop, "pool_restart") == {"ok": "reload started"}
    gate.touch()
    assert [result.get(timeout=PATIENCE) for result in others] == [result.id for result in others]
    assert first.get(timeout=PATIENCE) == first.id
    before = {record["pid"] for record in workshop.ledger.records("start")}
    wait_until(lambda: len(worker.children) == 1, what="only the last process is left")
    assert workshop.task("pid").delay().get(timeout=PATIENCE) not in before
    assert set(workshop.ledger.by_id("start").values()) == {1}


def test_pool_of_greenlets_sends_its_signals(workshop: Workshop) -> None:
    worker = workshop.start(pool="eventlet", conf={"record_signals": True})
    child = workshop.task("pid").delay().get(timeout=PATIENCE)
    assert worker.stop() == 0
    told = [record["what"] for record in workshop.ledger.records() if record["pid"] == child]
    of_pool = [what.removeprefix("signal ") for what in told if "eventlet_pool" in what or "process" in what]
    assert of_pool == [
        "worker_process_init", "eventlet_pool_started", "eventlet_pool_apply", "eventlet_pool_preshutdown",
        "eventlet_pool_postshutdown", "worker_process_shutdown",
    ]  # fmt: skip


@pytest.mark.parametrize("name", LIBRARIES)
def test_task_that_ends_the_process_of_greenlets_is_bounded(workshop: Workshop, name: str) -> None:
    workshop.start(pool=name, conf={"task_max_deliveries": 2})
    result = workshop.task("die").delay("SystemExit")
    result.get(timeout=PATIENCE, propagate=False)
    assert workshop.ledger.count("start", id=result.id) == 2
    assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2


def test_autoscaled_pool_of_greenlets_runs_what_arrives(workshop: Workshop) -> None:
    workshop.start(pool="gevent", concurrency=None, autoscale=[4, 1])
    gate = workshop.gate()
    results = [workshop.task("work").delay(0, str(gate)) for _ in range(4)]
    wait_until(lambda: workshop.ledger.count("start") == 4, what="it has grown to four at once")
    gate.touch()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]
    assert set(workshop.ledger.by_id("start").values()) == {1}
