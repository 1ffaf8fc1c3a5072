"""Celeriac, from the project's own environment, with Celery's tasks module and command line."""

from __future__ import annotations

from bench.peers.base import CALL, SLEEP, WORK, Peer, Variant
from bench.peers.celery import first_call_code, import_code, worker
from bench.servers import QUEUE

ALL = frozenset({"redis", "rabbitmq", "sqlite", "postgres"})
PREFORK = worker("celeriac", "-P", "prefork", "-c", "2")

PEER = Peer(
    name="celeriac",
    app="bench.apps.celery_like",
    env={"BENCH_IMPORT": "celeriac"},
    guarantee="late ack with a lease (default): a task is run again if its worker dies",
    tasks=30000,
    stores_results=ALL,
    queues=(QUEUE,),
    import_code=import_code("celeriac"),
    first_call_code=first_call_code("celeriac"),
    memory_broker=True,
    workflows=True,
    bulk=ALL,
    variants=(
        Variant("prefork -c2", ALL, PREFORK),
        Variant(
            "confirms off",
            frozenset({"rabbitmq"}),
            roles=frozenset({CALL}),
            env={"BENCH_CONFIRM": "0"},
        ),
        Variant(
            "prefork -c2 early ack",
            ALL,
            PREFORK,
            roles=frozenset({WORK}),
            env={"BENCH_ACKS_LATE": "0"},
            extra=True,
        ),
        Variant("solo", ALL, worker("celeriac", "-P", "solo"), roles=frozenset({WORK}), extra=True),
        Variant(
            "threads -c8",
            ALL,
            worker("celeriac", "-P", "threads", "-c", "8"),
            roles=frozenset({WORK}),
            extra=True,
        ),
        Variant(
            "asyncio -c10000",
            frozenset({"redis"}),
            worker("celeriac", "-P", "asyncio", "-c", "10000"),
            roles=frozenset({SLEEP}),
            env={"BENCH_SLEEPERS": "10000", "BENCH_COROUTINES": "1"},
        ),
        Variant(
            "gevent -c1000",
            frozenset({"redis"}),
            worker("celeriac", "-P", "gevent", "-c", "1000"),
            roles=frozenset({SLEEP}),
            env={"BENCH_SLEEPERS": "1000"},
        ),
    ),
)
