"""Messages published into the hold of the session that would fetch them next."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import Queue
from celeriac.broker.base import RELAYED
from celeriac.broker.redis import RedisBroker, RedisSession
from celeriac.exceptions import EncodeError
from tests.integration.redis.conftest import publication

if TYPE_CHECKING:
    from celeriac.drivers.resp import RespConnection
    from celeriac.message import Delivery, Publication
    from tests.integration.redis.conftest import OpenSession

TIMEOUT = 10.0


def relay(sender: RedisSession, item: Publication, holder: RedisSession, name: str = "1-a") -> bytes | None:
    address = holder.relay_address()
    assert address is not None
    return sender.relay(item, address, f"{RELAYED}{name}", timeout=TIMEOUT)


def take(holder: RedisSession, queue: Queue, envelope: bytes | None, name: str = "1-a") -> Delivery:
    assert envelope
    delivery = holder.read_relayed(queue.name, f"{RELAYED}{name}", envelope)
    holder.adopt([delivery])
    return delivery


def test_a_relayed_message_is_like_one_that_was_fetched(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    fetching, holder, sender = open_session(queue), open_session(queue), open_session()
    item = publication(queue, b"[1]", priority=3, correlation_id="c")
    sender.publish_many([item])
    (fetched,) = fetching.fetch(limit=1, wait=1)
    relayed = take(holder, queue, relay(sender, item, holder))
    for delivery, session in ((fetched, fetching), (relayed, holder)):
        assert (delivery.message, delivery.queue, delivery.redelivered, delivery.deliveries, delivery.session_id) == (
            fetched.message, queue.name, False, 1, session.session_id,
        )  # fmt: skip
    entry, other = server.execute("HMGET", "unacked", relayed.tag, fetched.tag)
    assert json.loads(entry)[1:] == json.loads(other)[1:]
    assert json.loads(entry)[0]["properties"].pop("delivery_tag") == relayed.tag.decode()
    assert server.execute("ZSCORE", "unacked_index", relayed.tag) is not None
    holder.ack_many([relayed], confirm=True)
    assert server.execute("HKEYS", "unacked") == [fetched.tag]


def test_messages_that_have_ended_are_settled_by_the_way(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    holder, other, sender = open_session(queue), open_session(queue), open_session()
    ended = take(holder, queue, relay(sender, publication(queue), holder, "1-a"), "1-a")
    of_other = take(other, queue, relay(sender, publication(queue), other, "1-b"), "1-b")
    address = holder.relay_address()
    assert address is not None
    assert sender.relay(
        publication(queue), address, f"{RELAYED}1-c", ended=[ended.tag, of_other.tag], timeout=TIMEOUT
    )  # fmt: skip
    assert sorted(server.execute("HKEYS", "unacked")) == [of_other.tag, f"{RELAYED}1-c".encode()]
    assert server.execute("ZCARD", "unacked_index") == 2
    holder.ack_many([ended])


def test_a_message_is_not_relayed_past_others(open_session: OpenSession, queue: Queue) -> None:
    other = Queue(f"{queue.name}-other")
    holder, sender = open_session(queue, other), open_session()
    sender.publish_many([publication(other, b"first")])
    assert relay(sender, publication(queue, b"second"), holder) == b""
    assert sender.depths([queue.name, other.name]) == {queue.name: 1, other.name: 1}
    assert sorted(each.message.body for each in holder.fetch(limit=9, wait=1)) == [b"first", b"second"]
    assert relay(sender, publication(queue), holder)


def test_a_session_whose_lease_ran_out_is_relayed_nothing(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    holder, sender = open_session(queue), open_session()
    server.execute("ZADD", "celeriac.sessions", time.time() - 1, *server.execute("ZRANGE", "celeriac.sessions", 0, -1))
    assert relay(sender, publication(queue), holder) == b""
    assert sender.depths([queue.name]) == {queue.name: 1}


def test_other_kinds_of_messages_are_left_to_the_caller(open_session: OpenSession, queue: Queue) -> None:
    holder, sender = open_session(queue), open_session()
    assert relay(sender, publication(Queue(f"{queue.name}-else")), holder) is None
    assert relay(sender, publication(queue, not_before=time.time() + 60), holder) is None
    assert open_session(Queue(f"{queue.name}-a", no_ack=True)).relay_address() is None
    assert open_session(Queue(f"{queue.name}-b", expires=60)).relay_address() is None


def test_what_a_session_was_not_told_of_returns(open_session: OpenSession, queue: Queue) -> None:
    holder, sender = open_session(queue), open_session()
    told = take(holder, queue, relay(sender, publication(queue, b"told"), holder, "7-a1"), "7-a1")
    assert relay(sender, publication(queue, b"lost"), holder, "7-a2")
    assert relay(sender, publication(queue, b"of another"), holder, "77-b1")
    holder.reclaim(f"{RELAYED}7-")
    assert sender.depths([queue.name]) == {queue.name: 1}
    (back,) = holder.fetch(limit=9, wait=1)
    assert (back.message.body, back.redelivered, back.deliveries) == (b"lost", False, 1)
    holder.ack_many([told, back], confirm=True)
    holder.close()
    assert [each.message.body for each in open_session(queue).fetch(limit=9, wait=1)] == [b"of another"]


def test_a_continued_session_keeps_what_it_is_about_to_be_told_of(
    open_session: OpenSession, redis_url: str, queue: Queue
) -> None:
    holder, sender = open_session(queue), open_session()
    envelope = relay(sender, publication(queue), holder)
    holder._connection.close()
    resumed = RedisBroker(redis_url).connect(resume=holder)
    assert isinstance(resumed, RedisSession)
    assert resumed.session_id == holder.session_id
    assert sender.depths([queue.name]) == {queue.name: 0}
    resumed.ack_many([take(resumed, queue, envelope)], confirm=True)
    resumed.close()


def test_a_session_that_falls_silent_loses_what_was_relayed_to_it(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    holder, heir = open_session(queue), open_session(sweep_interval=0)
    assert relay(heir, publication(queue), holder)
    server.execute("ZADD", "celeriac.sessions", time.time(), *server.execute("ZRANGE", "celeriac.sessions", 0, 0))
    heir.consume([queue])
    heir.heartbeat()
    (back,) = heir.fetch(limit=1, wait=1)
    assert (back.redelivered, back.deliveries) == (True, 2)


def test_a_header_that_is_no_json_is_refused(open_session: OpenSession, queue: Queue) -> None:
    holder, sender = open_session(queue), open_session()
    item = publication(queue, b"[]", odd=object())
    with pytest.raises(EncodeError, match="is not JSON"):
        relay(sender, item, holder)
