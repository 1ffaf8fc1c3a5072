"""The benchmark's tasks for RQ."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job

from bench.apps.common import RESULT_TIMEOUT, SETTINGS, Client
from bench.marks import mark

RESULT_TTL = 500 if SETTINGS.results else 0
MARK = "bench.apps.rq_app.mark_task"


def mark_task(index: int) -> int:
    """Leave a mark."""
    mark(index)
    return index


def hold_task(index: int, seconds: float) -> int:
    """Sleep, then leave a mark."""
    time.sleep(seconds)
    mark(index)
    return index


class RQClient(Client):
    """RQ's documented client calls."""

    bulk_call = "Queue.enqueue_many()"

    def __init__(self) -> None:
        self.connection = Redis.from_url(SETTINGS.broker_url)
        self.queue = Queue(SETTINGS.queue, connection=self.connection)

    def send(self, index: int) -> Any:
        return self.queue.enqueue(MARK, index, result_ttl=RESULT_TTL)

    def send_hold(self, index: int, seconds: float) -> None:
        self.queue.enqueue("bench.apps.rq_app.hold_task", index, seconds, result_ttl=RESULT_TTL)

    def send_delayed(self, index: int, seconds: float) -> None:
        self.queue.enqueue_in(timedelta(seconds=seconds), MARK, index, result_ttl=RESULT_TTL)

    def send_bulk(self, start: int, count: int) -> None:
        self.queue.enqueue_many(
            [Queue.prepare_data(MARK, (index,), result_ttl=RESULT_TTL) for index in range(start, start + count)]
        )

    def wait(self, handle: Any) -> Any:
        return handle.latest_result(timeout=int(RESULT_TIMEOUT)).return_value

    def token(self, handle: Any) -> str:
        return handle.id

    def fetch(self, token: str) -> Any:
        return Job.fetch(token, connection=self.connection).return_value()


client = RQClient()
