"""The benchmark's tasks for procrastinate."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import asyncio
from typing import Any

import procrastinate

from bench.apps.common import SETTINGS, Client
from bench.apps.postgres import largest_table, recreate_database
from bench.marks import mark

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=SETTINGS.broker_url))


@app.task(name="bench.mark", queue=SETTINGS.queue)
async def mark_task(index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


@app.task(name="bench.hold", queue=SETTINGS.queue)
async def hold_task(index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    await asyncio.sleep(seconds)
    mark(index)
    return index


class ProcrastinateClient(Client):
    """procrastinate's documented synchronous client calls."""

    bulk_call = "batch_defer()"

    def __init__(self) -> None:
        self._opened: Any = None

    def prepare(self) -> None:
        recreate_database(SETTINGS.broker_url)
        with app.open():
            app.schema_manager.apply_schema()

    def rows(self) -> int:
        return largest_table(SETTINGS.broker_url)

    def _open(self) -> None:
        if self._opened is None:
            self._opened = app.open()

    def send(self, index: int) -> Any:
        self._open()
        return mark_task.defer(index=index)

    def send_hold(self, index: int, seconds: float) -> None:
        self._open()
        hold_task.defer(index=index, seconds=seconds)

    def send_delayed(self, index: int, seconds: float) -> None:
        self._open()
        mark_task.configure(schedule_in={"seconds": int(seconds)}).defer(index=index)

    def send_bulk(self, start: int, count: int) -> None:
        self._open()
        size = 1000
        for first in range(start, start + count, size):
            rows = range(first, min(first + size, start + count))
            mark_task.batch_defer(*({"index": index} for index in rows))

    def send_range(self, start: int, count: int) -> list[str]:
        for index in range(start, start + count):
            self.send(index)
        return []


client = ProcrastinateClient()
