"""The benchmark's tasks for taskiq."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import asyncio
import os
from typing import Any

from taskiq import InMemoryBroker
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

from bench.apps.async_client import AsyncClient
from bench.apps.common import RESULT_TIMEOUT, SETTINGS
from bench.marks import mark

# taskiq clients poll for a result every 0.2 s by default.
POLL = 0.001


def _make_broker() -> Any:
    if SETTINGS.kind != "redis":
        return InMemoryBroker()
    brokers = {"list": ListQueueBroker, "stream": RedisStreamBroker}
    made = brokers[os.environ.get("BENCH_TASKIQ", "list")](SETTINGS.broker_url, queue_name=SETTINGS.queue)
    if SETTINGS.results:
        made = made.with_result_backend(RedisAsyncResultBackend(SETTINGS.result_url, result_ex_time=3600))
    return made


broker = _make_broker()


@broker.task(task_name="bench.mark")
async def mark_task(index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


@broker.task(task_name="bench.hold")
async def hold_task(index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    await asyncio.sleep(seconds)
    mark(index)
    return index


class TaskiqClient(AsyncClient):
    """taskiq's documented client calls."""

    async def connect(self) -> None:
        await broker.startup()

    async def asend(self, index: int) -> Any:
        return await mark_task.kiq(index)

    async def asend_hold(self, index: int, seconds: float) -> None:
        await hold_task.kiq(index, seconds)

    async def await_result(self, handle: Any) -> Any:
        return (await handle.wait_result(check_interval=POLL, timeout=RESULT_TIMEOUT)).return_value

    def token(self, handle: Any) -> str:
        return handle.task_id

    def fetch(self, token: str) -> Any:
        async def get() -> Any:
            return await broker.result_backend.get_result(token)

        return self.run(get()).return_value


client = TaskiqClient()
