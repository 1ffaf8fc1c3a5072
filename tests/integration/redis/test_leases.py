"""Leases, and what lapsed sessions and Celery's workers leave behind."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import Exchange, Queue
from celeriac.exceptions import SessionLost
from tests.integration.redis.conftest import publication
from tests.support import wait_until

if TYPE_CHECKING:
    from celeriac.broker.redis import RedisSession
    from celeriac.drivers.resp import RespConnection
    from celeriac.message import Delivery
    from tests.integration.redis.conftest import OpenSession

PRIORITY_5 = b"\x06\x163"


def tokens(server: RespConnection) -> list[bytes]:
    found: list[bytes] = server.execute("ZRANGE", "celeriac.sessions", 0, -1)
    return found


def let_lapse(server: RespConnection) -> None:
    """Make every session's lease run out."""
    for token in tokens(server):
        server.execute("ZADD", "celeriac.sessions", time.time(), token)


def test_an_acknowledgement_after_the_lease_leaves_the_new_holder_alone(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    zombie, heir = open_session(queue), open_session(sweep_interval=0)
    zombie.publish_many([publication(queue)])
    stale = zombie.fetch(limit=1, wait=1)
    let_lapse(server)
    heir.consume([queue])
    heir.heartbeat()
    (mine,) = heir.fetch(limit=1, wait=1)
    with pytest.raises(SessionLost, match="lease"):
        zombie.ack_many(stale, confirm=True)
    assert server.execute("HKEYS", "unacked") == [mine.tag]
    assert (mine.deliveries, mine.redelivered) == (2, True)


def test_what_celery_took_meanwhile_is_left_to_it(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    dead = open_session(queue)
    dead.publish_many([publication(queue, b"0"), publication(queue, b"1")])
    first, second = dead.fetch(limit=2, wait=1)
    let_lapse(server)
    # A Celery worker restored the first one after its own timeout, and another one has just taken it again.
    server.execute("ZADD", "unacked_index", time.time() + 1, first.tag)
    heir = open_session(queue)
    heir.heartbeat()
    assert [delivery.message.body for delivery in heir.fetch(limit=5, wait=0.1)] == [b"1"]
    assert server.execute("HEXISTS", "unacked", first.tag) == 1
    assert second.tag != first.tag
    assert len(tokens(server)) == 1


def test_a_claim_is_a_sign_of_life(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue, lease=30)
    session.publish_many([publication(queue)])
    (token,) = tokens(server)
    server.execute("ZADD", "celeriac.sessions", time.time() + 1, token)
    session.fetch(limit=1, wait=1)
    assert float(server.execute("ZSCORE", "celeriac.sessions", token)) > time.time() + 20


def test_a_lapsed_session_that_nobody_swept_goes_on(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue)])
    held = session.fetch(limit=1, wait=1)
    let_lapse(server)
    session.heartbeat()
    session.ack_many(held, confirm=True)
    assert server.execute("EXISTS", "unacked") == 0


def test_heartbeats_keep_celery_from_restoring(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue) for _ in range(300)])
    deliveries = session.fetch(limit=300, wait=1)
    for delivery in deliveries:
        server.execute("ZADD", "unacked_index", 1, delivery.tag)
    session.heartbeat()
    assert server.execute("ZCOUNT", "unacked_index", "-inf", time.time() - 60) == 0
    # What is settled does not come back by it.
    session.ack_many(deliveries, confirm=True)
    session.heartbeat()
    assert server.execute("EXISTS", "unacked_index") == 0


def test_messages_keep_their_order_when_a_session_closes(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue, b"%d" % n) for n in range(30)])
    session.fetch(limit=20, wait=1)
    session.close()
    other = open_session(queue)
    assert [delivery.message.body for delivery in other.fetch(limit=30, wait=1)] == [b"%d" % n for n in range(30)]


def test_a_closed_session_leaves_no_lease(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    assert len(tokens(server)) == 1
    session.close()
    assert tokens(server) == []


FILL = """
for i = 1, 50000 do
  local tag = string.format('%08d-0000-4000-8000-000000000000', i)
  local text = '{"body": "e30=", "headers": {}, "properties": {"body_encoding": "base64", "delivery_info": '
    .. '{"exchange": "", "routing_key": "big"}, "delivery_tag": "' .. tag .. '"}}'
  redis.call('HSET', 'unacked', tag, '[' .. text .. ', "", "big"]')
  redis.call('ZADD', 'unacked_index', 1, tag)
  if KEYS[1] then redis.call('HSET', KEYS[1], tag, 'big') end
end
if KEYS[1] then redis.call('ZADD', 'celeriac.sessions', 1, 'dead') end
"""


@pytest.mark.parametrize("keys", [("celeriac.session.dead",), ()], ids=["ours", "celery's"])
def test_very_many_abandoned_messages_return(
    open_session: OpenSession, server: RespConnection, keys: tuple[str, ...]
) -> None:
    server.execute("EVAL", FILL, len(keys), *keys)
    session = open_session(Queue("big"))
    session.heartbeat()
    assert session.depths(["big"]) == {"big": 50_000}
    assert server.execute("EXISTS", "unacked", "unacked_index", *keys) == 0
    assert {delivery.deliveries for delivery in session.fetch(limit=100, wait=1)} == {2}


def test_a_sweep_longer_than_its_lease_costs_a_session_nothing(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue, lease=0.1)
    session.publish_many([publication(queue)])
    held = session.fetch(limit=1, wait=1)
    server.execute("EVAL", FILL, 1, "celeriac.session.dead")
    session.heartbeat()
    session.ack_many(held, confirm=True)
    assert session.depths(["big", queue.name]) == {"big": 50_000, queue.name: 0}


def leave_behind(server: RespConnection, tag: str, exchange: str, key: str, **properties: Any) -> dict[str, Any]:
    """What a Celery worker that was killed leaves."""
    info = {"exchange": exchange, "routing_key": key}
    envelope = {
        "body": "e30=", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"stamps": []},
        "properties": {**properties, "delivery_info": info, "body_encoding": "base64", "delivery_tag": tag},
    }  # fmt: skip
    server.execute("HSET", "unacked", tag, json.dumps([envelope, exchange, key]))
    server.execute("ZADD", "unacked_index", time.time() - 4000, tag)
    return envelope


def test_leftovers_of_celery_workers_return(open_session: OpenSession, server: RespConnection) -> None:
    queues = [Queue("plain"), Queue("direct", Exchange("dex"), "key"), Queue("topic", Exchange("tex", "topic"), "a.#")]
    session = open_session(*queues)
    leave_behind(server, "t1", "", "plain", priority=5)
    leave_behind(server, "t2", "dex", "key", priority=0)
    leave_behind(server, "t3", "tex", "a.b.c")
    leave_behind(server, "t4", "gone", "plain")
    # Still within the visibility timeout.
    leave_behind(server, "t5", "", "plain")
    server.execute("ZADD", "unacked_index", time.time() - 3000, "t5")
    session.heartbeat()
    assert server.execute("HKEYS", "unacked") == [b"t5"]
    (raw,) = server.execute("LRANGE", b"plain" + PRIORITY_5, 0, -1)
    assert json.loads(raw)["properties"]["delivery_info"]["redelivered"] is True
    assert json.loads(raw)["headers"] == {"stamps": []}
    got = {delivery.tag: delivery for delivery in session.fetch(limit=10, wait=1)}
    assert {tag: delivery.queue for tag, delivery in got.items()} == {
        b"t1": "plain", b"t2": "direct", b"t3": "topic", b"t4": "plain",
    }  # fmt: skip
    assert all((delivery.redelivered, delivery.deliveries) == (True, 2) for delivery in got.values())


def test_an_unreadable_leftover_becomes_a_dead_letter(open_session: OpenSession, server: RespConnection) -> None:
    server.execute("HSET", "unacked", "t1", "no json")
    server.execute("ZADD", "unacked_index", 1, "t1", 2, "t2")
    session = open_session(Queue("q"))
    session.heartbeat()
    assert server.execute("EXISTS", "unacked", "unacked_index") == 0
    (letter,) = session.dead_letters()
    assert (letter.message.body, letter.reason) == (b"no json", "unreadable entry of unacked")


def test_what_a_live_session_holds_is_no_leftover(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    holder, other = open_session(queue), open_session(Queue("other"))
    holder.publish_many([publication(queue)])
    (held,) = holder.fetch(limit=1, wait=1)
    server.execute("ZADD", "unacked_index", 1, held.tag)
    other.heartbeat()
    assert float(server.execute("ZSCORE", "unacked_index", held.tag)) > time.time() - 60
    assert server.execute("EXISTS", queue.name) == 0


def test_the_visibility_timeout_can_be_set(open_session: OpenSession, server: RespConnection) -> None:
    leave_behind(server, "t1", "", "plain")
    open_session(Queue("plain"), transport_options={"visibility_timeout": 86400}).heartbeat()
    assert server.execute("EXISTS", "plain") == 0
    open_session(Queue("plain"), transport_options={"visibility_timeout": 60}).heartbeat()
    assert server.execute("EXISTS", "plain") == 1


def test_delivery_counts_survive_deferral_and_priority(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue, priority=9)])

    def fetch() -> Delivery:
        (delivery,) = wait_until(lambda: session.fetch(limit=5, wait=1))
        return delivery

    session.requeue_many([fetch()])
    session.defer_many([(fetch(), time.time() + 0.05)])
    assert fetch().deliveries == 2
    assert server.execute("TTL", "celeriac.deliveries") > 600_000


def test_a_session_is_lost_when_the_database_was_emptied(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session: RedisSession = open_session(queue)
    server.execute("FLUSHDB")
    with pytest.raises(SessionLost):
        session.fetch(limit=1, wait=1)
    with pytest.raises(SessionLost):
        session.heartbeat()


def test_sweeps_happen_as_often_as_asked(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue, sweep_interval=1000)
    session.heartbeat()
    server.execute("ZADD", "celeriac.sessions", 1, "dead")
    session.heartbeat()
    assert b"dead" in tokens(server)
    eager = open_session(queue, sweep_interval=0)
    eager.heartbeat()
    assert b"dead" not in tokens(server)
