"""The benchmark's tasks for huey."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import time
from typing import Any

from huey import MemoryHuey, RedisHuey, SqliteHuey

from bench.apps.common import RESULT_TIMEOUT, SETTINGS, Client
from bench.marks import mark


def _make_huey() -> Any:
    if SETTINGS.kind == "redis":
        # notify_result lets a client wait for a result without polling.
        return RedisHuey(
            SETTINGS.queue, url=SETTINGS.broker_url, results=SETTINGS.results, notify_result=SETTINGS.results
        )
    if SETTINGS.kind == "sqlite":
        return SqliteHuey(SETTINGS.queue, filename=SETTINGS.path(), results=SETTINGS.results)
    return MemoryHuey(SETTINGS.queue, results=False)


huey = _make_huey()


@huey.task()
def mark_task(index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


@huey.task()
def hold_task(index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    time.sleep(seconds)
    mark(index)
    return index


class HueyClient(Client):
    """huey's documented client calls."""

    def send(self, index: int) -> Any:
        return mark_task(index)

    def send_hold(self, index: int, seconds: float) -> None:
        hold_task(index, seconds)

    def send_delayed(self, index: int, seconds: float) -> None:
        mark_task.schedule(args=(index,), delay=seconds)

    def wait(self, handle: Any) -> Any:
        return handle.get(blocking=True, timeout=RESULT_TIMEOUT, max_delay=0.01)

    def token(self, handle: Any) -> str:
        return handle.id

    def fetch(self, token: str) -> Any:
        return huey.result(token, blocking=True, timeout=RESULT_TIMEOUT, max_delay=0.01)

    def work(self, count: int) -> None:
        consumer = huey.create_consumer(workers=1, worker_type="thread", periodic=False)
        consumer.start()
        time.sleep(60)


client = HueyClient()
