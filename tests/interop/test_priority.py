"""The order of priorities, of messages of either client in a worker of the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.interop.fleet import LIBRARIES, other
from tests.support import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.fleet import Fleet

PRIORITIES = (3, 9, 0, 6, 5, 1)


@pytest.mark.parametrize("runner", LIBRARIES)
def test_priorities_are_respected(
    broker: str, runner: str, make_fleet: Callable[..., Fleet], request: pytest.FixtureRequest
) -> None:
    redis = request.getfixturevalue("redis_database")
    url = redis if broker == "redis" else request.getfixturevalue("amqp_url")
    options = {"task_queue_max_priority": 10} if broker == "amqp" else {}
    fleet = make_fleet(broker_url=url, result_backend=redis, worker_prefetch_multiplier=1, **options)
    queue = fleet.queue(runner)
    client = fleet.client(other(runner))
    ids = {client.send("echo", priority=each, queue=queue): each for each in PRIORITIES}
    fleet.start_worker(runner, concurrency=1)
    wait_until(lambda: fleet.ledger.count("echo") == len(PRIORITIES), what="all tasks")
    ran = [ids[record["id"]] for record in fleet.ledger.records("echo")]
    if broker == "redis":
        # Priorities of one step are first in, first out.
        steps = [each - each % 3 for each in ran]
        assert steps == sorted(steps)
        assert [each for each in ran if each in (0, 1)] == [0, 1]
    else:
        assert ran == sorted(PRIORITIES, reverse=True)
