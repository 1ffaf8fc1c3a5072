"""Where a delayed message waits: in the broker if a session of ours will bring it back, else in its queue."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from celeriac.broker import Queue
from celeriac.utils.dataclass import replace
from celeriac.utils.time import parse_iso8601
from tests.integration.redis.conftest import publication
from tests.support import wait_until

if TYPE_CHECKING:
    from celeriac.drivers.resp import RespConnection
    from celeriac.message import Publication
    from tests.integration.redis.conftest import OpenSession


def delayed(queue: Queue) -> Publication:
    """A message that says itself when it is due."""
    return replace(publication(queue, not_before=time.time() + 100), holdable=True)


def counts(server: RespConnection, queue: Queue) -> tuple[int, int]:
    """How many wait in the list, and how many in the delayed set."""
    return server.execute("LLEN", queue.name), server.execute("ZCARD", f"celeriac.delayed.{queue.name}")


def test_without_a_consumer_of_ours_it_goes_to_the_queue(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    open_session().publish_many([delayed(queue), delayed(queue)])
    assert counts(server, queue) == (2, 0)


def test_with_a_consumer_of_ours_it_waits_in_the_broker(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    open_session(queue)
    open_session().publish_many([delayed(queue)])
    assert counts(server, queue) == (0, 1)


def test_a_consumer_that_left_is_not_counted_on(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    open_session(queue).close()
    open_session().publish_many([delayed(queue)])
    assert counts(server, queue) == (1, 0)


def test_a_consumer_whose_lease_lapsed_is_not_counted_on(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    open_session(queue, lease=0.2)
    publisher = open_session()

    def is_queued() -> bool:
        publisher.publish_many([delayed(queue)])
        return counts(server, queue)[0] > 0

    wait_until(is_queued, what="the lease lapses")
    assert server.execute("EXISTS", f"celeriac.consumers.{queue.name}") == 0


def test_a_message_that_does_not_say_when_it_is_due_always_waits_in_the_broker(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    open_session().publish_many([publication(queue, not_before=time.time() + 100)])
    assert counts(server, queue) == (0, 1)


def test_delayed_messages_are_released_to_every_queue_with_an_eta(
    open_session: OpenSession, server: RespConnection
) -> None:
    first, second = Queue(f"r-{uuid.uuid4().hex[:8]}"), Queue(f"r-{uuid.uuid4().hex[:8]}")
    due = time.time() + 100
    urgent = publication(second, b"urgent", not_before=due, priority=9)
    with_own_eta = publication(second, b"own", not_before=due)
    with_own_eta.message.headers["eta"] = "2999-01-01T00:00:00+00:00"
    session = open_session()
    session.publish_many([*(publication(first, b"%d" % number, not_before=due) for number in range(1100)), urgent])
    session.publish_many([with_own_eta])
    released = session.release_delayed()
    assert {queue.name: released[queue.name] for queue in (first, second)} == {first.name: 1100, second.name: 2}
    assert counts(server, first) == (1100, 0)
    assert server.execute("LLEN", f"{second.name}\x06\x169") == 1
    consumer = open_session(first, second)
    etas = {each.message.body: each.message.headers["eta"] for each in consumer.fetch(limit=2000, wait=0)}
    assert len(etas) == 1102
    assert etas[b"own"] == "2999-01-01T00:00:00+00:00"
    assert abs(parse_iso8601(etas[b"urgent"]).timestamp() - due) < 0.001


def test_only_the_queues_asked_for_are_released(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session()
    session.publish_many([publication(queue, not_before=time.time() + 100)])
    assert session.release_delayed(["another"]) == {}
    assert counts(server, queue) == (0, 1)
    assert session.release_delayed([queue.name]) == {queue.name: 1}
