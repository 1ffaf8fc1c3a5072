"""Coroutines that call tasks and await their results, run by a real worker."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import group
from celeriac.backend.notifier import notifier_of
from tests.support import PATIENCE, servers, wait_until
from tests.support.client_app import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module", params=["redis", "sqlite", "amqp+rpc", "postgresql"])
def site(
    request: pytest.FixtureRequest,
    settings_of: Callable[[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A client and one worker of two children."""
    with ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(servers.postgresql_database(servers.unique("awaiting")))
            conf = settings_of("sqlite") | {"broker_url": url, "result_backend": f"db+{url}"}
        elif request.param == "amqp+rpc":
            conf = settings_of("amqp") | {"result_backend": "rpc://"}
        else:
            conf = settings_of(request.param)
        # Calls of coroutines queue for one thread: on a slow machine the last has to wait for the first to connect.
        conf |= {"broker_publish_timeout": PATIENCE}
        site = Site(conf, tmp_path_factory.mktemp("awaiting"))
        stack.callback(site.close)
        worker = site.start()
        yield site
        assert worker.alive, worker.log[-4000:]


def test_results_of_calls_are_awaited(site: Site) -> None:
    add, fail = site.task("add"), site.task("failing")

    async def main() -> None:
        results = await asyncio.gather(*(add.adelay(number, 1) for number in range(20)))
        values = await asyncio.gather(*(result.aget(timeout=PATIENCE) for result in results))
        assert values == [number + 1 for number in range(20)]
        # Known by now.
        assert [await result for result in results] == values
        failed = await fail.adelay()
        with pytest.raises(ValueError, match="on purpose"):
            await failed.aget(timeout=PATIENCE)

    asyncio.run(main())


def test_groups_and_chains_are_awaited(site: Site) -> None:
    add = site.task("add")

    async def main() -> None:
        results = await group(add.s(number, number) for number in range(10)).aapply_async()
        assert await results.aget(timeout=PATIENCE) == [2 * number for number in range(10)]
        results = await group(add.s(number, number) for number in range(10)).aapply_async()
        async with asyncio.timeout(PATIENCE):
            arrived = [result async for result in results]
        assert sorted(result.result for result in arrived) == [2 * number for number in range(10)]
        last = await (add.s(1, 2) | add.s(3) | add.s(4)).aapply_async()
        assert await last.aget(timeout=PATIENCE) == 10

    asyncio.run(main())


def test_functions_are_called_when_results_are_ready(site: Site) -> None:
    seen: list[Any] = []
    result = site.task("add").delay(2, 3)
    result.then(seen.append)
    wait_until(lambda: seen)
    assert seen == [result]
    assert result.get(timeout=PATIENCE) == 5
    notifier_of(site.app.backend).stop_lingering()
