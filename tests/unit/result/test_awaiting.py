from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, group
from celeriac.backend.base import ResultRecord
from celeriac.backend.notifier import notifier_of
from celeriac.current import Context, pop_task, push_task
from celeriac.exceptions import TimeoutError
from celeriac.result import AsyncResult, EagerResult, GroupResult
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker="memory://", backend=f"memory://{unique_name}") as app:
        yield app


def store(app: Celery, task_id: str, status: str = "SUCCESS", result: Any = None, **fields: Any) -> None:
    app.backend.store_many([ResultRecord(task_id, status, result, **fields)])


def watched(app: Celery) -> dict[str, Any]:
    return app.backend._store.waiting  # type: ignore[attr-defined, no-any-return]


def test_a_result_is_awaited(app: Celery) -> None:
    async def main() -> list[Any]:
        before, after = app.AsyncResult("a"), app.AsyncResult("b")
        store(app, "a", result=1)
        waiting = asyncio.ensure_future(after.aget(timeout=PATIENCE))
        await asyncio.sleep(0)
        store(app, "b", result=2)
        return [await before, await waiting, await after]

    assert asyncio.run(main()) == [1, 2, 2]


def test_failures_are_raised_unless_told_otherwise(app: Celery) -> None:
    async def main() -> None:
        store(app, "a", "FAILURE", ValueError("bad"))
        with pytest.raises(ValueError, match="bad"):
            await app.AsyncResult("a")
        assert isinstance(await app.AsyncResult("a").aget(propagate=False), ValueError)
        seen: list[Any] = []
        store(app, "b", result=5)
        await app.AsyncResult("b").aget(callback=lambda *pair: seen.append(pair), on_message=seen.append)
        assert seen[0]["status"] == "SUCCESS"
        assert seen[1:] == [("b", 5)]

    asyncio.run(main())


def test_the_failure_of_a_parent_ends_a_wait(app: Celery) -> None:
    async def main() -> None:
        child = app.AsyncResult("a", parent=app.AsyncResult("p", parent=app.AsyncResult("root")))
        waiting = asyncio.ensure_future(child.aget(timeout=PATIENCE))
        await asyncio.sleep(0)
        store(app, "root", result=1)
        store(app, "p", "FAILURE", KeyError("parent"))
        with pytest.raises(KeyError, match="parent"):
            await waiting
        with pytest.raises(KeyError, match="parent"):
            await child
        with pytest.raises(TimeoutError):
            await child.aget(timeout=0.01, follow_parents=False)

    asyncio.run(main())


def test_waits_leave_nothing_behind(app: Celery) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError, match="a"):
            await app.AsyncResult("a").aget(timeout=0.01)
        waiting = [asyncio.ensure_future(app.AsyncResult(name).aget()) for name in "abc"]
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, lambda: len(watched(app)) == 3)
        for each in waiting:
            each.cancel()
        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
            asyncio.CancelledError
        ] * 3
        await asyncio.to_thread(wait_until, lambda: not watched(app))

    asyncio.run(main())


def test_many_waits_share_one_thread(app: Celery) -> None:
    async def main() -> None:
        results = [app.AsyncResult(str(number)) for number in range(500)]
        before = set(threading.enumerate())
        waiting = [asyncio.ensure_future(result.aget(timeout=PATIENCE)) for result in results]
        await asyncio.sleep(0)
        # Threads of other tests may end meanwhile.
        assert len(set(threading.enumerate()) - before) == 1
        app.backend.store_many([ResultRecord(str(number), "SUCCESS", number) for number in range(500)])
        assert await asyncio.gather(*waiting) == list(range(500))

    asyncio.run(main())


def test_several_coroutines_and_loops_await_the_same(app: Celery) -> None:
    results: list[Any] = []
    shared = app.AsyncResult("a")

    async def wait() -> list[Any]:
        return list(
            await asyncio.gather(shared, app.AsyncResult("a").aget(timeout=PATIENCE), shared.aget(timeout=PATIENCE))
        )

    threads = [threading.Thread(target=lambda: results.append(asyncio.run(wait()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: "a" in watched(app))
    store(app, "a", result=7)
    for thread in threads:
        thread.join(PATIENCE)
    assert results == [[7, 7, 7]] * 3


def test_a_wait_outlives_no_loop(app: Celery) -> None:
    async def leave() -> None:
        task = asyncio.ensure_future(app.AsyncResult("a").aget())
        await asyncio.sleep(0)
        del task

    asyncio.run(leave())
    store(app, "a", result=1)
    assert asyncio.run(app.AsyncResult("a").aget(timeout=PATIENCE)) == 1


def test_groups_are_awaited(app: Celery) -> None:
    async def main() -> None:
        nested = app.GroupResult("g2", [app.AsyncResult("b"), EagerResult("e", 9, "SUCCESS")])
        results = app.GroupResult("g", [app.AsyncResult("a"), nested])
        store(app, "b", result=2)
        waiting = asyncio.ensure_future(results.aget(timeout=PATIENCE))
        await asyncio.sleep(0)
        store(app, "a", result=1)
        assert await waiting == await results == [1, [2, 9]]
        assert await app.ResultSet([]) == []
        with pytest.raises(TimeoutError):
            await app.ResultSet([app.AsyncResult("x")]).aget(timeout=0.01)

    asyncio.run(main())


def test_groups_are_iterated_in_order_of_arrival(app: Celery) -> None:
    async def main() -> list[Any]:
        results = app.GroupResult("g", [app.AsyncResult(str(number)) for number in range(3)])
        store(app, "1", result="first")
        seen = []
        async for result in results:
            seen.append((result.id, result.result))
            if len(seen) == 1:
                store(app, "2", "FAILURE", ValueError("second"))
            elif len(seen) == 2:
                store(app, "0", result="third")
        return [(task_id, str(value)) for task_id, value in seen]

    assert asyncio.run(main()) == [("1", "first"), ("2", "second"), ("0", "third")]


def test_leaving_an_iteration_leaves_nothing_behind(app: Celery) -> None:
    async def main() -> None:
        store(app, "a", result=1)
        async for result in app.ResultSet([app.AsyncResult("a"), app.AsyncResult("b")]):
            assert result.id == "a"
            break
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    wait_until(lambda: not watched(app))


def test_eager_and_ignored_results_are_ready(app: Celery) -> None:
    async def main() -> None:
        assert await EagerResult[int]("e", 3, "SUCCESS") == 3
        with pytest.raises(ValueError, match="bad"):
            await EagerResult[int]("e", ValueError("bad"), "FAILURE")
        ignored = app.AsyncResult("i")
        ignored.ignored = True
        assert await ignored is None

    asyncio.run(main())


def test_waiting_inside_a_task_is_refused(app: Celery) -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="within a task"):
            await app.AsyncResult("a")
        with pytest.raises(RuntimeError, match="within a task"):
            await app.ResultSet([])
        with pytest.raises(RuntimeError, match="within a task"):
            async for _ in app.ResultSet([]):
                pass
        store(app, "a", result=1)
        assert await app.AsyncResult("a").aget(disable_sync_subtasks=False) == 1

    token = push_task(object(), Context(id="t", called_directly=False))
    try:
        asyncio.run(main())
    finally:
        pop_task(token)


def test_an_app_without_backend_says_so() -> None:
    async def main() -> None:
        with Celery("proj", broker="memory://", backend="disabled://") as app:
            with pytest.raises(NotImplementedError, match="result_backend"):
                await app.AsyncResult("a")
            with pytest.raises(NotImplementedError, match="result_backend"):
                app.AsyncResult("a").then(print)

    asyncio.run(main())


def test_eager_groups_are_awaited() -> None:
    async def main() -> None:
        with Celery("proj", broker="memory://", backend="memory://", task_always_eager=True) as app:

            @app.task
            def add(x: int) -> int:
                return x + 1

            assert await group(add.s(number) for number in range(3)).apply_async() == [1, 2, 3]
            assert await add.delay(4) == 5

    asyncio.run(main())


# then()


def test_a_function_is_called_when_a_result_is_ready(app: Celery) -> None:
    seen: list[Any] = []
    result = app.AsyncResult("a")
    notice = result.then(seen.append)
    assert not notice.ready
    store(app, "a", "FAILURE", ValueError("bad"))
    wait_until(lambda: seen)
    assert seen == [result]
    assert (seen[0].state, notice.ready) == ("FAILURE", True)
    # Known by now: at once, in this thread.
    result.then(seen.append)
    assert len(seen) == 2


def test_a_function_is_called_when_a_whole_set_is_ready(app: Celery) -> None:
    seen: list[Any] = []
    results = app.GroupResult("g", [app.AsyncResult("a"), app.AsyncResult("b")])
    results.then(seen.append)
    app.ResultSet([]).then(seen.append)
    assert len(seen) == 1
    store(app, "a", result=1)
    store(app, "b", result=2)
    wait_until(lambda: len(seen) == 2)
    assert seen[1] is results
    assert [result.known_record().result for result in results] == [1, 2]


def test_a_cancelled_call_is_not_made(app: Celery) -> None:
    seen: list[Any] = []
    app.AsyncResult("a").then(seen.append).cancel()
    app.AsyncResult("a").then(lambda result: seen.append("called"))
    store(app, "a")
    wait_until(lambda: seen)
    assert seen == ["called"]


def test_what_a_function_raises_is_told_or_logged(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    def fail(result: Any) -> None:
        raise ValueError("in the function")

    told: list[Exception] = []
    app.AsyncResult("a").then(fail, on_error=told.append)
    app.AsyncResult("a").then(fail)
    store(app, "a")
    wait_until(lambda: told and "in the function" in caplog.text)
    assert str(told[0]) == "in the function"


def test_a_result_that_nobody_holds_is_not_kept_for_a_weak_call(app: Celery) -> None:
    seen: list[Any] = []
    held: AsyncResult[Any] = app.AsyncResult("a")
    held.then(lambda result: seen.append("held"), weak=True)
    app.AsyncResult("a").then(lambda result: seen.append("gone"), weak=True)
    gc.collect()
    app.AsyncResult("a").then(lambda result: seen.append("last"))
    store(app, "a")
    wait_until(lambda: "last" in seen)
    assert seen == ["held", "last"]


def test_a_barrier_decides_when_a_set_is_ready(app: Celery) -> None:
    class Barrier:
        def then(self, callback: Any, on_error: Any = None) -> None:
            callback()

    seen: list[Any] = []
    results = GroupResult("g", [app.AsyncResult("never")], app=app, ready_barrier=Barrier())
    results.then(seen.append)
    assert seen == [results]


def test_the_thread_ends_when_nobody_waits(app: Celery) -> None:
    notifier = notifier_of(app.backend)
    thread = asyncio.run(_thread_of_a_wait(app))
    notifier.stop_lingering()
    assert not thread.is_alive()
    store(app, "a", result=1)
    assert asyncio.run(app.AsyncResult("a").aget(timeout=PATIENCE)) == 1


async def _thread_of_a_wait(app: Celery) -> threading.Thread:
    """The thread that waits for a coroutine, which is then cancelled."""
    waiting = asyncio.ensure_future(app.AsyncResult("a").aget(timeout=PATIENCE))
    while (thread := notifier_of(app.backend)._thread) is None:
        assert not waiting.done()
        await asyncio.sleep(0.001)
    waiting.cancel()
    return thread


async def _timeout(app: Celery) -> None:
    with pytest.raises(TimeoutError):
        await app.AsyncResult("a").aget(timeout=0.01)


def test_a_forked_child_awaits_with_a_thread_of_its_own(app: Celery) -> None:
    # The parent's thread lingers; the child inherits what it did, but not the thread.
    asyncio.run(_timeout(app))
    with warnings.catch_warnings():
        # Python 3.12 warns of forking beside threads; that a program does it is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        try:

            async def main() -> int:
                waiting = asyncio.ensure_future(app.AsyncResult("b").aget(timeout=PATIENCE))
                await asyncio.sleep(0)
                store(app, "b", result=3)
                return int(await waiting)

            os._exit(asyncio.run(main()))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
