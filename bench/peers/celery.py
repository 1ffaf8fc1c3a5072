"""Celery 5.7: the base of all ratios, and the shape of Celeriac's adapter."""

from __future__ import annotations

from bench.peers.base import CALL, SLEEP, WORK, Peer, Variant
from bench.servers import QUEUE

LEAN = ("--loglevel=WARNING", "--without-gossip", "--without-mingle", "-n", "bench@%h")
BOTH = frozenset({"redis", "rabbitmq"})


def worker(program: str, *options: str) -> tuple[str, ...]:
    """The command of a worker of Celery's command line."""
    return (f"{{bin}}/{program}", "-A", "bench.apps.celery_like", "worker", *LEAN, *options)


def import_code(library: str) -> str:
    """Import the library and make an app."""
    return f"import {library}; {library}.Celery('bench')"


def first_call_code(library: str) -> str:
    """Declare a task and call it once."""
    return f"""
import {library}
app = {library}.Celery("bench", broker="{{url}}")
app.conf.task_default_queue = "{QUEUE}"
@app.task(name="bench.mark", ignore_result=True)
def mark_task(index): ...
mark_task.delay(1)
"""


PEER = Peer(
    name="celery",
    app="bench.apps.celery_like",
    env={"BENCH_IMPORT": "celery"},
    guarantee="early ack (default): a task is lost if its worker dies after starting it",
    tasks=4000,
    stores_results=BOTH,
    queues=(QUEUE,),
    import_code=import_code("celery"),
    first_call_code=first_call_code("celery"),
    memory_broker=True,
    workflows=True,
    bulk=BOTH,
    variants=(
        Variant("prefork -c2", BOTH, worker("celery", "-P", "prefork", "-c", "2")),
        Variant(
            "prefork -c2 prefetch x64",
            BOTH,
            worker("celery", "-P", "prefork", "-c", "2"),
            roles=frozenset({WORK}),
            env={"BENCH_PREFETCH": "64"},
            extra=True,
        ),
        Variant("solo", BOTH, worker("celery", "-P", "solo"), roles=frozenset({WORK}), extra=True),
        Variant(
            "threads -c8",
            BOTH,
            worker("celery", "-P", "threads", "-c", "8"),
            roles=frozenset({WORK}),
            extra=True,
        ),
        Variant(
            "gevent -c1000",
            frozenset({"redis"}),
            worker("celery", "-P", "gevent", "-c", "1000"),
            roles=frozenset({SLEEP}),
            env={"BENCH_SLEEPERS": "1000"},
        ),
        Variant(
            "confirmed",
            frozenset({"rabbitmq"}),
            roles=frozenset({CALL}),
            env={"BENCH_CONFIRM": "1"},
            extra=True,
        ),
    ),
)
