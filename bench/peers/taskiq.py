"""taskiq with taskiq-redis: the list broker (no ack) and the stream broker, two workers, uvloop."""

from __future__ import annotations

from bench.peers.base import Peer, Variant

REDIS = frozenset({"redis"})
WORKER = (
    "{bin}/taskiq",
    "worker",
    "bench.apps.taskiq_app:broker",
    "--workers",
    "2",
    "--log-level",
    "WARNING",
)

PEER = Peer(
    name="taskiq",
    app="bench.apps.taskiq_app",
    guarantee="list: none, a task is lost if its worker dies; stream: run again if its worker dies",
    tasks=8000,
    stores_results=REDIS,
    delays=False,
    import_code="""
from taskiq_redis import ListQueueBroker
ListQueueBroker("redis://127.0.0.1:6379/9")
""",
    first_call_code="""
import asyncio
from taskiq_redis import ListQueueBroker
broker = ListQueueBroker("{url}")
@broker.task
async def mark_task(index): ...
async def main():
    await broker.startup()
    await mark_task.kiq(1)
    await broker.shutdown()
asyncio.run(main())
""",
    variants=(
        Variant("list, 2 workers", REDIS, WORKER, env={"BENCH_TASKIQ": "list"}),
        Variant("stream, 2 workers", REDIS, WORKER, env={"BENCH_TASKIQ": "stream"}),
    ),
)
