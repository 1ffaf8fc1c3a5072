"""procrastinate on PostgreSQL: two processes of ten jobs each; it stores job states but no results."""

from __future__ import annotations

from bench.peers.base import WORK, Peer, Variant
from bench.servers import QUEUE

POSTGRES = frozenset({"postgres"})
WORKER = (
    "{bin}/procrastinate",
    "--app=bench.apps.procrastinate_app.app",
    "--log-level=warning",
    "worker",
    "-c",
    "10",
    "-q",
    QUEUE,
)

PEER = Peer(
    name="procrastinate",
    app="bench.apps.procrastinate_app",
    guarantee="jobs of a dead worker stay marked as running until a periodic task retries them",
    tasks=2000,
    stores_results=POSTGRES,
    bulk=POSTGRES,
    import_code="""
import procrastinate
procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=""))
""",
    variants=(
        Variant("2p -c10", POSTGRES, WORKER, copies=2),
        Variant("1p -c10", POSTGRES, WORKER, roles=frozenset({WORK}), extra=True),
    ),
)
