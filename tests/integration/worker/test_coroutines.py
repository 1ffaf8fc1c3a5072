"""Tasks that are ``async def``: as coroutines of one process in the asyncio pool, and in every other pool."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import SoftTimeLimitExceeded, TaskCancelledError, TaskRevokedError, TimeLimitExceeded
from tests.support import PATIENCE, wait_until
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator

POOLS = ("asyncio", "prefork", "threads", "solo", "gevent", "eventlet")


@pytest.fixture(scope="module", params=POOLS)
def pool(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workshop]:
    """A worker of each pool, which the tests leave as it was."""
    url = f"{redis_server}/4"
    conf = {"broker_url": url, "result_backend": url, "task_default_queue": f"coroutines-{request.param}"}
    workshop = Workshop(conf, tmp_path_factory.mktemp("coroutines"))
    try:
        worker = workshop.start(pool=request.param, concurrency=4)
        yield workshop
        assert worker.stop() == 0
        assert "CRITICAL" not in worker.log, worker.log[-4000:]
        assert "never awaited" not in worker.log, worker.log[-4000:]
        assert workshop.depth() == 0
    finally:
        workshop.close()


def test_coroutines_of_every_outcome(pool: Workshop) -> None:
    task = pool.task
    good = [task("aadd").delay(n, n) for n in range(100)]
    assert [result.get(timeout=PATIENCE) for result in good] == [2 * n for n in range(100)]
    with pytest.raises(ValueError, match="broken"):
        task("afail").delay("broken").get(timeout=PATIENCE)
    assert task("aretry").delay(2).get(timeout=PATIENCE) == 2
    assert task("aautoretry").delay(1).get(timeout=PATIENCE) == 1
    with pytest.raises(ValueError, match="not yet"):
        task("aautoretry").delay(9).get(timeout=PATIENCE)
    assert task("agenerate").delay(10).get(timeout=PATIENCE) == 45


def test_function_tasks_run_beside_coroutines(pool: Workshop) -> None:
    assert pool.task("add").delay(1, 2).get(timeout=PATIENCE) == 3
    with pytest.raises(ValueError, match="on purpose"):
        pool.task("fail").delay().get(timeout=PATIENCE)


def test_coroutine_returned_by_a_function_is_awaited(pool: Workshop) -> None:
    assert pool.task("aindirect").delay(4).get(timeout=PATIENCE) == 8


def test_traceback_begins_in_the_users_code(pool: Workshop) -> None:
    result = pool.task("afail").delay()
    result.get(timeout=PATIENCE, propagate=False)
    lines = (result.traceback or "").splitlines()
    assert "zoo.py" in lines[1], result.traceback
    assert "asyncio" not in (result.traceback or "")


def test_handlers_are_called_and_awaited(pool: Workshop) -> None:
    result = pool.task("ahooked").delay("x")
    assert result.get(timeout=PATIENCE) == "x"
    wait_until(lambda: pool.ledger.count("hook after_return", id=result.id), what="the last handler ran")
    for what in ("hook before_start", "hook on_success"):
        assert pool.ledger.count(what, id=result.id) == 1


def test_chain_and_chord_of_coroutines(pool: Workshop) -> None:
    from celeriac import chord

    aadd = pool.task("aadd")
    assert (aadd.s(1, 1) | aadd.s(2) | aadd.s(3)).apply_async().get(timeout=PATIENCE) == 7
    joined = chord([aadd.s(n, n) for n in range(5)])(pool.task("size").s())
    assert joined.get(timeout=PATIENCE) == 5


def test_coroutine_sends_tasks_and_stores_states(pool: Workshop) -> None:
    inner = pool.task("acalls").delay(5).get(timeout=PATIENCE)
    assert pool.app.AsyncResult(inner).get(timeout=PATIENCE) == 10
    gate = pool.gate("progress")
    result = pool.task("aprogress").delay(str(gate))
    wait_until(lambda: result.state == "PROGRESS", what="the state is stored")
    assert result.info == {"done": 7}
    gate.touch()
    assert result.get(timeout=PATIENCE) == "done"
    gate.unlink()


def test_each_coroutine_sees_its_own_request(pool: Workshop) -> None:
    results = [pool.task("awho").delay(20) for _ in range(10)]
    for result in results:
        assert result.get(timeout=PATIENCE) == [["awho", result.id, result.id]]


def test_soft_limit_is_raised_where_the_coroutine_awaits(pool: Workshop) -> None:
    result = pool.task("asoft").apply_async(soft_time_limit=0.3)
    assert result.get(timeout=PATIENCE) == "cleaned up after 0.3"


def test_soft_limit_ends_what_the_coroutine_has_started(pool: Workshop) -> None:
    result = pool.task("asoft").apply_async(("group",), soft_time_limit=0.3)
    assert result.get(timeout=PATIENCE) == "cleaned up after 0.3"
    assert pool.ledger.count("group cancelled", id=result.id) == 1


def test_soft_limit_that_is_not_caught_is_a_failure(pool: Workshop) -> None:
    result = pool.task("astubborn").apply_async(("sleep",), soft_time_limit=0.3)
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=PATIENCE)


def test_coroutine_that_was_not_cancelled_by_the_worker_fails(pool: Workshop) -> None:
    with pytest.raises(TaskCancelledError):
        pool.task("acancelled").delay().get(timeout=PATIENCE)


@pytest.mark.parametrize("name", ["solo", "asyncio"])
def test_event_loop_lives_on_between_tasks(workshop: Workshop, name: str) -> None:
    workshop.start(pool=name)
    loops = {workshop.task("aloop").delay().get(timeout=PATIENCE) for _ in range(5)}
    assert len(loops) == 1


def test_thousand_coroutines_run_at_once_in_one_process(workshop: Workshop) -> None:
    workshop.start(pool="asyncio", concurrency=1000)
    results = [workshop.task("agather").delay(1000) for _ in range(1000)]
    assert len({result.get(timeout=PATIENCE) for result in results}) == 1


def test_hard_limit_cancels_one_coroutine_and_leaves_the_others(workshop: Workshop) -> None:
    worker = workshop.start(pool="asyncio")
    gate = workshop.gate()
    other = workshop.task("awork").delay(str(gate))
    wait_until(lambda: workshop.ledger.count("start", id=other.id), what="the other began")
    errback = workshop.task("errback_published").s()
    limited = workshop.task("awork").apply_async((str(gate),), time_limit=0.5, link_error=errback)
    with pytest.raises(TimeLimitExceeded):
        limited.get(timeout=PATIENCE)
    assert "Hard time limit (0.5s) exceeded for awork" in worker.log
    wait_until(lambda: workshop.ledger.count("cancelled", id=limited.id), what="it was cancelled")
    gate.touch()
    assert other.get(timeout=PATIENCE) == other.id
    assert workshop.ledger.count("start") == 2
    wait_until(lambda: workshop.ledger.count("errback published", id=limited.id), what="the errback ran")


def test_terminating_a_coroutine_cancels_it_and_no_other(workshop: Workshop) -> None:
    workshop.start(pool="asyncio")
    gate = workshop.gate()
    one, other = (workshop.task("awork").delay(str(gate)) for _ in range(2))
    wait_until(lambda: workshop.ledger.count("start") == 2, what="both began")
    one.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        one.get(timeout=PATIENCE)
    assert workshop.ledger.count("cancelled", id=one.id) == 1
    gate.touch()
    assert other.get(timeout=PATIENCE) == other.id


@pytest.mark.parametrize("how", ["busy", "suppress"])
def test_process_of_a_coroutine_that_ignores_its_hard_limit_is_replaced(workshop: Workshop, how: str) -> None:
    worker = workshop.start(pool="asyncio")
    with pytest.raises(TimeLimitExceeded):
        workshop.task("astubborn").apply_async((how,), time_limit=0.5).get(timeout=PATIENCE)
    assert workshop.task("aadd").delay(1, 1).get(timeout=PATIENCE) == 2
    assert worker.alive


def test_warm_shutdown_waits_for_coroutines(workshop: Workshop) -> None:
    worker = workshop.start(pool="asyncio", concurrency=2)
    gate = workshop.gate()
    results = [workshop.task("awork").delay(str(gate)) for _ in range(5)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="tasks began")
    worker.send(signal.SIGTERM)
    wait_until(lambda: workshop.depth() == 3, what="the rest is back in the queue")
    gate.touch()
    assert worker.wait() == 0
    done = {record["id"] for record in workshop.ledger.records("end")}
    assert len(done) == 2
    assert all(result.state == "SUCCESS" for result in results if result.id in done)


def test_cold_shutdown_cancels_coroutines_and_gives_them_back(workshop: Workshop) -> None:
    worker = workshop.start(pool="asyncio", concurrency=2)
    gate = workshop.gate()
    results = [workshop.task("awork").delay(str(gate)) for _ in range(2)]
    wait_until(lambda: workshop.ledger.count("start") == 2, what="tasks began")
    worker.stop(signal.SIGQUIT)
    assert workshop.ledger.count("cancelled") == 2
    gate.touch()
    workshop.start(pool="asyncio")
    for result in results:
        assert result.get(timeout=PATIENCE) == result.id
    assert workshop.ledger.count("start") == 4


def test_task_that_ends_the_process_of_coroutines_is_bounded(workshop: Workshop) -> None:
    workshop.start(pool="asyncio", conf={"task_max_deliveries": 2})
    result = workshop.task("die").delay("SystemExit")
    result.get(timeout=PATIENCE, propagate=False)
    assert workshop.ledger.count("start", id=result.id) == 2
    assert workshop.task("aadd").delay(1, 1).get(timeout=PATIENCE) == 2
