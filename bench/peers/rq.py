"""RQ: two SimpleWorkers (no fork per job), its fastest configuration."""

from __future__ import annotations

from bench.peers.base import WORK, Peer, Variant
from bench.servers import QUEUE

REDIS = frozenset({"redis"})


def _worker(class_name: str) -> tuple[str, ...]:
    return ("{bin}/rq", "worker", "-u", "{broker}", "-w", class_name, "-q", QUEUE)


PEER = Peer(
    name="rq",
    app="bench.apps.rq_app",
    guarantee="jobs of a dead worker are moved to the failed registry",
    tasks=2000,
    stores_results=REDIS,
    bulk=REDIS,
    import_code="""
from redis import Redis
from rq import Queue
Queue("bench", connection=Redis())
""",
    first_call_code=f"""
from redis import Redis
from rq import Queue
Queue("{QUEUE}", connection=Redis.from_url("{{url}}")).enqueue("bench.apps.rq_app.mark_task", 1)
""",
    variants=(
        Variant("2 x SimpleWorker", REDIS, _worker("rq.worker.SimpleWorker"), copies=2),
        Variant(
            "2 x Worker (fork per job)",
            REDIS,
            _worker("rq.worker.Worker"),
            copies=2,
            roles=frozenset({WORK}),
            extra=True,
        ),
    ),
)
