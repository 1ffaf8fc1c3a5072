"""The queues under comparison, in the order in which tables list them."""

from __future__ import annotations

from bench.peers import arq, celeriac, celery, dramatiq, huey, procrastinate, rq, taskiq
from bench.peers.base import Peer, Variant

__all__ = ["PEERS", "Peer", "Variant"]

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        celery.PEER,
        celeriac.PEER,
        dramatiq.PEER,
        taskiq.PEER,
        huey.PEER,
        rq.PEER,
        arq.PEER,
        procrastinate.PEER,
    )
}
