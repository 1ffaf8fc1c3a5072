"""huey: two worker processes on Redis or on SQLite."""

from __future__ import annotations

from bench.peers.base import WORK, Peer, Variant
from bench.servers import QUEUE


def _consumer(kind: str, count: int) -> tuple[str, ...]:
    return ("{bin}/huey_consumer", "bench.apps.huey_app.huey", "-k", kind, "-w", str(count), "-q")


PEER = Peer(
    name="huey",
    app="bench.apps.huey_app",
    guarantee="none: a task is lost if its worker dies",
    tasks=8000,
    stores_results=frozenset({"redis", "sqlite"}),
    memory_broker=True,
    import_code="from huey import RedisHuey; RedisHuey('bench', url='redis://127.0.0.1:6379/9')",
    first_call_code=f"""
from huey import RedisHuey
huey = RedisHuey("{QUEUE}", url="{{url}}", results=False)
@huey.task()
def mark_task(index): ...
mark_task(1)
""",
    variants=(
        Variant("2 processes", frozenset({"redis"}), _consumer("process", 2)),
        # SQLite consumers poll; 10 ms keeps the poll out of the round trip.
        Variant("2 processes", frozenset({"sqlite"}), (*_consumer("process", 2), "-d", "0.01", "-m", "0.01")),
        Variant(
            "8 threads",
            frozenset({"redis"}),
            _consumer("thread", 8),
            roles=frozenset({WORK}),
            extra=True,
        ),
    ),
)
