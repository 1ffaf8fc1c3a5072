"""dramatiq: two processes of eight threads, its own default."""

from __future__ import annotations

from bench.peers.base import Peer, Variant
from bench.servers import QUEUE

BOTH = frozenset({"redis", "rabbitmq"})

PEER = Peer(
    name="dramatiq",
    app="bench.apps.dramatiq_app",
    guarantee="late ack: a task is run again if its worker dies",
    tasks=8000,
    stores_results=BOTH,
    queues=(QUEUE, f"{QUEUE}.DQ", f"{QUEUE}.XQ"),
    memory_broker=True,
    import_code="""
import dramatiq
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(url="redis://127.0.0.1:6379/9"))
""",
    first_call_code=f"""
import dramatiq
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(url="{{url}}"))
@dramatiq.actor(queue_name="{QUEUE}")
def mark_task(index): ...
mark_task.send(1)
""",
    variants=(
        Variant(
            "2p x 8t",
            BOTH,
            ("{bin}/dramatiq", "bench.apps.dramatiq_app", "-p", "2", "-t", "8", "--skip-logging"),
        ),
    ),
)
