"""The benchmark's tasks for Celery and for Celeriac: the same lines, the library's name is a parameter."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import importlib
import os
import time
from typing import Any

from bench.apps.common import KEPT_TOKENS, RESULT_TIMEOUT, SETTINGS, Client
from bench.apps.workflows import Workflows
from bench.marks import mark

LIBRARY = os.environ.get("BENCH_IMPORT", "celeriac")
library: Any = importlib.import_module(LIBRARY)

# Without a result store, as Celery is without a URL; Celeriac's default would be an SQLite file.
app = library.Celery("bench", broker=SETTINGS.broker_url, backend=SETTINGS.result_url or "disabled://")
app.conf.update(
    task_default_queue=SETTINGS.queue,
    task_ignore_result=not SETTINGS.results,
    broker_connection_retry_on_startup=True,
)
if "BENCH_PREFETCH" in os.environ:
    app.conf.worker_prefetch_multiplier = int(os.environ["BENCH_PREFETCH"])
if "BENCH_ACKS_LATE" in os.environ:
    app.conf.task_acks_late = os.environ["BENCH_ACKS_LATE"] == "1"
if SETTINGS.confirm is not None:
    app.conf.broker_transport_options = {"confirm_publish": SETTINGS.confirm}


@app.task(name="bench.mark")
def mark_task(index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


@app.task(name="bench.hold")
def hold_task(index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    time.sleep(seconds)
    mark(index)
    return index


async def _sleep(index: int, seconds: float) -> int:
    # Not earlier: the library would be in the memory of every worker that is measured.
    import asyncio

    await asyncio.sleep(seconds)
    mark(index)
    return index


# Coroutines are tasks of Celeriac's alone.
sleep_task = app.task(name="bench.sleep")(_sleep) if os.environ.get("BENCH_COROUTINES") == "1" else hold_task

workflows = Workflows(library, app)


class CeleryClient(Client):
    """Celery's documented client calls."""

    bulk_call = "group().apply_async()" if LIBRARY == "celery" else "app.publish_many()"

    def send(self, index: int) -> Any:
        return mark_task.delay(index)

    def send_hold(self, index: int, seconds: float) -> None:
        hold_task.delay(index, seconds)

    def send_sleeps(self, start: int, count: int, seconds: float) -> None:
        for index in range(start, start + count):
            sleep_task.delay(index, seconds)

    def send_delayed(self, index: int, seconds: float) -> None:
        mark_task.apply_async((index,), countdown=seconds)

    def send_bulk(self, start: int, count: int) -> None:
        signatures = (mark_task.s(index) for index in range(start, start + count))
        if LIBRARY == "celery":
            library.group(signatures).apply_async()
        else:
            app.publish_many(signatures)

    def fill(self, start: int, count: int) -> list[str]:
        if LIBRARY == "celery":
            return super().fill(start, count)
        # Celery's bulk call makes other messages than its loop; these are the same.
        last = start + max(0, count - KEPT_TOKENS)
        app.publish_many((mark_task.s(index) for index in range(start, last)), results=False)
        return self.send_range(last, start + count - last)

    def wait(self, handle: Any) -> Any:
        return handle.get(timeout=RESULT_TIMEOUT)

    def token(self, handle: Any) -> str:
        return handle.id

    def fetch(self, token: str) -> Any:
        return app.AsyncResult(token).get(timeout=RESULT_TIMEOUT)

    def workflow(self, kind: str, times: int, arguments: dict[str, int]) -> list[float]:
        return workflows.timed(kind, times, arguments)

    def submit_group(self, size: int) -> int:
        return workflows.submit(size)

    def prepare(self) -> None:
        if SETTINGS.kind == "postgres":
            postgres = importlib.import_module("bench.apps.postgres")
            postgres.recreate_database(SETTINGS.broker_url)

    def rows(self) -> int:
        return int(importlib.import_module("bench.apps.postgres").largest_table(SETTINGS.broker_url))

    def work(self, count: int) -> None:
        app.Worker(
            pool="solo",
            concurrency=1,
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        ).start()


client = CeleryClient()
