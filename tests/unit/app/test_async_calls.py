from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, group
from celeriac.exceptions import OperationalError, PublishTimeout
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}") as app:
        app.task(name="add")(lambda x, y: x + y)
        yield app


def sent(app: Celery) -> list[str]:
    session = app.broker.connect()
    session.consume(list(app.queues.consume_from.values()))
    deliveries = session.fetch(limit=100, wait=0)
    session.ack_many(deliveries)
    session.close()
    return [str(delivery.message.headers["id"]) for delivery in deliveries]


def test_calls_are_published_in_order(app: Celery) -> None:
    async def main() -> list[str]:
        add = app.tasks["add"]
        calls = [add.adelay(number, 1) for number in range(20)]
        results = await asyncio.gather(*calls)
        results.append(await add.aapply_async((1, 2), task_id="given", countdown=0))
        results.append(await add.s(1).adelay(2))
        results.append(await app.acall(app.send_task, "by.name", (1,)))
        return [result.id for result in results]

    ids = asyncio.run(main())
    assert "given" in ids
    assert sent(app) == ids


def test_all_calls_share_one_thread_which_is_not_the_loop(app: Celery) -> None:
    async def main() -> set[int]:
        calls = (app.acall(threading.get_ident) for _ in range(5))
        return {threading.get_ident(), *await asyncio.gather(*calls)}

    assert len(asyncio.run(main())) == 2


def test_a_call_whose_turn_comes_too_late_is_not_made(app: Celery) -> None:
    async def main() -> None:
        release = threading.Event()
        blocking = asyncio.ensure_future(app.acall(release.wait))
        await asyncio.sleep(0)
        late = asyncio.ensure_future(app.tasks["add"].aapply_async((1, 2), timeout=0.01))
        # It has begun, and so has its time.
        await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        release.set()
        assert await blocking
        with pytest.raises(PublishTimeout, match="not published"):
            await late

    asyncio.run(main())
    assert sent(app) == []


def test_errors_reach_the_coroutine(app: Celery) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            await app.tasks["add"].adelay(1)
        with Celery("away", broker="amqp://127.0.0.1:1", backend="memory://") as away:
            away.task(name="add")(lambda x: x)
            with pytest.raises(OperationalError):
                await away.tasks["add"].aapply_async((1,), timeout=PATIENCE, retry=False)

    asyncio.run(main())


def test_groups_are_sent_from_coroutines(app: Celery) -> None:
    async def main() -> Any:
        add = app.tasks["add"]
        return await group(add.s(number, number) for number in range(3)).aapply_async()

    result = asyncio.run(main())
    assert [each.id for each in result] == sent(app)


def test_eager_tasks_may_call_others(app: Celery) -> None:
    app.conf.task_always_eager = True

    @app.task
    def outer(x: int) -> int:
        async def inner() -> int:
            result = await app.tasks["add"].adelay(x, 1)
            return int(await result.aget(disable_sync_subtasks=False))

        return asyncio.run(inner())

    async def main() -> int:
        return await (await outer.adelay(1))

    assert asyncio.run(main()) == 2
