"""arq: two processes with 100 jobs each and a poll of 10 ms instead of the default half second."""

from __future__ import annotations

from bench.peers.base import WORK, Peer, Variant

REDIS = frozenset({"redis"})
WORKER = ("{bin}/python", "-m", "bench.apps.arq_app")

PEER = Peer(
    name="arq",
    app="bench.apps.arq_app",
    guarantee="late removal: a task is run again if its worker dies",
    tasks=3000,
    stores_results=REDIS,
    import_code="import arq; arq.connections.RedisSettings()",
    first_call_code="""
import asyncio
import arq
async def main():
    pool = await arq.create_pool(arq.connections.RedisSettings.from_dsn("{url}"))
    await pool.enqueue_job("mark_task", 1)
    await pool.aclose()
asyncio.run(main())
""",
    variants=(
        Variant("2p max_jobs=100 poll 10 ms", REDIS, WORKER, copies=2, env={"BENCH_ARQ_POLL": "0.01"}),
        Variant(
            "1p max_jobs=100 default poll",
            REDIS,
            WORKER,
            roles=frozenset({WORK}),
            env={"BENCH_ARQ_POLL": "0.5"},
            extra=True,
        ),
    ),
)
