"""The benchmark's tasks for dramatiq."""

# mypy: disable-error-code="import-not-found,import-untyped,untyped-decorator,no-any-return"

from __future__ import annotations

import base64
import time
from typing import Any

import dramatiq
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.apps.common import RESULT_TIMEOUT, SETTINGS, Client
from bench.marks import mark


def _make_broker() -> Any:
    if SETTINGS.kind == "redis":
        from dramatiq.brokers.redis import RedisBroker

        return RedisBroker(url=SETTINGS.broker_url)
    if SETTINGS.kind == "rabbitmq":
        from dramatiq.brokers.rabbitmq import RabbitmqBroker

        return RabbitmqBroker(url=SETTINGS.broker_url, confirm_delivery=bool(SETTINGS.confirm))
    from dramatiq.brokers.stub import StubBroker

    return StubBroker()


broker = _make_broker()
backend = None
if SETTINGS.results:
    backend = RedisBackend(url=SETTINGS.result_url)
    broker.add_middleware(Results(backend=backend, store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor(queue_name=SETTINGS.queue)
def mark_task(index: int) -> int | None:
    """Leave a mark."""
    mark(index)
    return index if SETTINGS.results else None


@dramatiq.actor(queue_name=SETTINGS.queue)
def hold_task(index: int, seconds: float) -> int | None:
    """Sleep, then leave a mark."""
    time.sleep(seconds)
    mark(index)
    return index if SETTINGS.results else None


class DramatiqClient(Client):
    """dramatiq's documented client calls."""

    def send(self, index: int) -> Any:
        return mark_task.send(index)

    def send_hold(self, index: int, seconds: float) -> None:
        hold_task.send(index, seconds)

    def send_delayed(self, index: int, seconds: float) -> None:
        mark_task.send_with_options(args=(index,), delay=int(seconds * 1000))

    def wait(self, handle: Any) -> Any:
        return handle.get_result(backend=backend, block=True, timeout=int(RESULT_TIMEOUT * 1000))

    def token(self, handle: Any) -> str:
        return base64.b64encode(handle.encode()).decode()

    def fetch(self, token: str) -> Any:
        return self.wait(dramatiq.Message.decode(base64.b64decode(token)))

    def work(self, count: int) -> None:
        dramatiq.Worker(broker, worker_threads=1, queues={SETTINGS.queue}).start()
        time.sleep(60)


client = DramatiqClient()
