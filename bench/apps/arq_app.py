"""The benchmark's tasks for arq; run as a module it is a worker."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import arq
from arq.connections import RedisSettings
from arq.jobs import Job, ResultNotFound

from bench.apps.async_client import AsyncClient
from bench.apps.common import RESULT_TIMEOUT, SETTINGS
from bench.marks import mark

REDIS = RedisSettings.from_dsn(SETTINGS.broker_url) if SETTINGS.kind == "redis" else RedisSettings()
POLL = 0.001


async def mark_task(context: dict[str, Any], index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


async def hold_task(context: dict[str, Any], index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    await asyncio.sleep(seconds)
    mark(index)
    return index


class WorkerSettings:
    """arq's own way to describe a worker."""

    functions = (mark_task, hold_task)
    redis_settings = REDIS
    queue_name = SETTINGS.queue
    max_jobs = 100
    poll_delay = float(os.environ.get("BENCH_ARQ_POLL", "0.5"))
    keep_result = 3600 if SETTINGS.results else 0


class ArqClient(AsyncClient):
    """arq's documented client calls."""

    async def connect(self) -> None:
        self.pool = await arq.create_pool(REDIS, default_queue_name=SETTINGS.queue)

    async def asend(self, index: int) -> Any:
        return await self.pool.enqueue_job("mark_task", index)

    async def asend_hold(self, index: int, seconds: float) -> None:
        await self.pool.enqueue_job("hold_task", index, seconds)

    async def asend_delayed(self, index: int, seconds: float) -> None:
        await self.pool.enqueue_job("mark_task", index, _defer_by=seconds)

    async def await_result(self, handle: Any) -> Any:
        deadline = time.monotonic() + RESULT_TIMEOUT
        while True:
            try:
                return await handle.result(timeout=RESULT_TIMEOUT, poll_delay=POLL)
            except ResultNotFound:
                # Job.result reads result and queue in two steps and can miss a job that just finished.
                if time.monotonic() > deadline:
                    raise

    def token(self, handle: Any) -> str:
        return handle.job_id

    def fetch(self, token: str) -> Any:
        async def get() -> Any:
            return await self.await_result(Job(token, self.pool, _queue_name=SETTINGS.queue))

        return self.run(get())


client = ArqClient()

if __name__ == "__main__":
    arq.run_worker(WorkerSettings)  # type: ignore[arg-type,unused-ignore]
