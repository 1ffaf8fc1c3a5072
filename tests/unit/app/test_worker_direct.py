"""The queue that only one worker consumes."""

from __future__ import annotations

from celeriac.app.queues import worker_direct


def test_direct_queue_is_named_after_the_node() -> None:
    queue = worker_direct("w1@here")
    assert (queue.name, queue.routing_key) == ("w1@here.dq2", "w1@here")
    assert queue.exchange is not None
    assert (queue.exchange.name, queue.exchange.type) == ("C.dq2", "direct")
    assert worker_direct(queue) is queue
