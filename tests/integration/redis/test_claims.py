"""Claiming, settling and routing, seen from inside the server."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import Exchange, Queue, binding
from celeriac.broker.envelope import encode_envelope
from celeriac.message import Destination, Message, Publication
from tests.integration.redis.conftest import publication
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from celeriac.drivers.resp import RespConnection
    from tests.integration.redis.conftest import OpenSession

SEPARATOR = b"\x06\x16"

#: Takes ten messages at a time and settles them; notes what it is about to settle (a), and what it has (s).
CLAIMER = """
import sys
from celeriac.broker import BrokerOptions, Queue, open_broker
url, queue, path = sys.argv[1:]
session = open_broker(url, BrokerOptions(lease=3.0)).connect()
session.consume([Queue(queue)])
with open(path, "ab", buffering=0) as ledger:
    ledger.write(b"started\\n")
    while True:
        deliveries = session.fetch(limit=10, wait=1)
        ledger.write(b"".join(b"a" + delivery.message.body + b"\\n" for delivery in deliveries))
        session.ack_many(deliveries, confirm=True)
        ledger.write(b"".join(b"s" + delivery.message.body + b"\\n" for delivery in deliveries))
"""


def test_nothing_is_lost_when_claimers_are_killed(
    redis_url: str, open_session: OpenSession, queue: Queue, server: RespConnection, tmp_path: Path
) -> None:
    count, ledger = 3000, tmp_path / "ledger"
    rescuer = open_session(lease=30, sweep_interval=0.01)
    rescuer.publish_many([publication(queue, b"%d" % number) for number in range(count)])
    for attempt in range(12):
        starts = attempt + 1
        with subprocess.Popen([sys.executable, "-c", CLAIMER, redis_url, queue.name, str(ledger)]) as claimer:
            wait_until(lambda n=starts: ledger.exists() and ledger.read_bytes().count(b"started") >= n)  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.02))
            claimer.send_signal(signal.SIGKILL)
    noted = ledger.read_bytes().split()
    attempted = {int(line[1:]) for line in noted if line.startswith(b"a")}
    settled = {int(line[1:]) for line in noted if line.startswith(b"s") and line != b"started"}
    rescuer.consume([queue])
    found: set[int] = set()

    def drained() -> bool:
        rescuer.heartbeat()
        deliveries = rescuer.fetch(limit=1000, wait=0.05)
        rescuer.ack_many(deliveries)
        found.update(int(delivery.message.body) for delivery in deliveries)
        live = int(server.execute("ZCARD", "celeriac.sessions"))
        return live == 1 and not deliveries

    wait_until(drained)
    assert len(settled) < count, "every claimer was killed too late to matter"
    # Between being settled in the server and being noted as settled there is no message but those of one batch.
    assert set(range(count)) - settled - found <= attempted - settled
    assert settled.isdisjoint(found)
    assert server.execute("HLEN", "unacked") == 0


def test_claims_are_recorded_as_kombu_does(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue)])
    (envelope,) = server.execute("LRANGE", queue.name, 0, -1)
    before = time.time()
    (delivery,) = session.fetch(limit=5, wait=1)
    assert server.execute("EXISTS", queue.name) == 0
    assert server.execute("HGETALL", "unacked") == {
        delivery.tag: b"[" + envelope + b', "", "' + queue.name.encode() + b'"]'
    }
    assert json.loads(server.execute("HGET", "unacked", delivery.tag))[1:] == ["", queue.name]
    ((tag, score),) = server.execute("ZRANGE", "unacked_index", 0, -1, "WITHSCORES")
    assert tag == delivery.tag
    assert before - 1 <= score <= time.time() + 1
    session.ack_many([delivery], confirm=True)
    assert server.execute("EXISTS", "unacked", "unacked_index") == 0


def test_nothing_stays_behind_a_settled_message(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue) for _ in range(20)])
    for _ in range(2):
        session.requeue_many(session.fetch(limit=20, wait=1))
    session.ack_many(session.fetch(limit=20, wait=1))
    session.close()
    left = set(server.execute("KEYS", "*"))
    assert left == set()


def test_a_batch_is_claimed_by_priority(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue)
    for priority in (9, 6, 3, 0, 5, 2):
        session.publish_many([publication(queue, b"%d" % priority, priority=priority)])
    bodies = [delivery.message.body for delivery in session.fetch(limit=10, wait=1)]
    assert bodies == [b"0", b"2", b"3", b"5", b"6", b"9"]


def test_a_batch_takes_from_every_queue(open_session: OpenSession) -> None:
    queues = [Queue("a"), Queue("b"), Queue("c")]
    session = open_session(*queues)
    session.publish_many([publication(queues[0]) for _ in range(50)])
    session.publish_many([publication(queues[1]) for _ in range(2)])
    session.publish_many([publication(queues[2]) for _ in range(50)])
    taken = [delivery.queue for delivery in session.fetch(limit=12, wait=1)]
    assert (taken.count("a") + taken.count("c"), taken.count("b")) == (10, 2)
    assert min(taken.count("a"), taken.count("c")) >= 4


@pytest.mark.parametrize(("order", "expected"), [("priority", "b"), ("sorted", "a")])
def test_queues_can_be_emptied_in_order(open_session: OpenSession, order: str, expected: str) -> None:
    queues = [Queue("b"), Queue("a")]
    session = open_session(*queues, transport_options={"queue_order_strategy": order})
    for queue in queues:
        session.publish_many([publication(queue) for _ in range(10)])
    for _ in range(2):
        assert {delivery.queue for delivery in session.fetch(limit=5, wait=1)} == {expected}


def test_messages_with_one_tag_are_told_apart(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    for body in (b"one", b"two", b"two"):
        envelope = encode_envelope(Message(body, "text/plain", "utf-8", {}, {}), "", queue.name, "same")
        server.execute("LPUSH", queue.name, envelope)
    deliveries = session.fetch(limit=5, wait=1)
    assert [delivery.message.body for delivery in deliveries] == [b"one", b"two", b"two"]
    assert len({delivery.tag for delivery in deliveries}) == 3
    assert server.execute("HLEN", "unacked") == 3
    session.ack_many(deliveries[:1], confirm=True)
    session.close()
    assert server.execute("LLEN", queue.name) == 2
    assert server.execute("EXISTS", "unacked") == 0


@pytest.mark.parametrize(
    ("envelope", "readable"),
    [
        ('{"properties": {"delivery_tag" : "odd"}, "body": "x", "headers": {}}', True),
        ('{"properties": {"delivery_info": {}}, "body": "x", "headers": {}}', True),
        ('{"properties": {}, "body": "x", "headers": {"delivery_tag": "header"}}', True),
        ("[1, 2]", False),
        ('"text"', False),
        ("{truncated", False),
        ('{"delivery_tag": "t"', False),
        ('{"properties": {"delivery_tag": "without end}}', False),
        ("\x00\x01", False),
    ],
)
def test_odd_envelopes_survive_a_claimer(
    open_session: OpenSession, queue: Queue, server: RespConnection, envelope: str, readable: bool
) -> None:
    server.execute("LPUSH", queue.name, envelope)
    session = open_session(queue)
    (delivery,) = session.fetch(limit=5, wait=1)
    assert (delivery.malformed is None) is readable
    if not readable:
        assert delivery.message.body == envelope.encode()
        # Celery's workers read this hash as JSON.
        assert server.execute("EXISTS", "unacked") == 0
    session.requeue_many([delivery])
    (again,) = session.fetch(limit=5, wait=1)
    assert again.deliveries == 2
    session.close()
    assert server.execute("LRANGE", queue.name, 0, -1) == [envelope.encode()]


def test_a_scriptless_server_gets_the_scripts_again(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue)
    for _ in range(3):
        session.publish_many([publication(queue)])
        server.execute("SCRIPT", "FLUSH")
        deliveries = session.fetch(limit=1, wait=1)
        server.execute("SCRIPT", "FLUSH")
        session.ack_many(deliveries)
        session.heartbeat()
        assert server.execute("EXISTS", "unacked") == 0


def test_a_queue_is_reached_without_its_binding_set(open_session: OpenSession, server: RespConnection) -> None:
    queue = Queue("tasks", Exchange("tasks-exchange"), "key")
    session = open_session(queue)
    message = Message(b"x", "text/plain", "utf-8", {}, {})
    for _ in range(3):
        server.execute("DEL", "_kombu.binding.tasks-exchange")
        session.publish_many([Publication(message, Destination("tasks-exchange", "key", queue))])
    assert len(session.fetch(limit=5, wait=1)) == 3


def test_a_consumer_renews_its_bindings(open_session: OpenSession, server: RespConnection) -> None:
    queue = Queue("tasks", Exchange("topics", "topic"), "a.#")
    session = open_session(queue)
    member = SEPARATOR.join((b"a.#", rb"^a\..*?$", b"tasks"))
    for key in ("_kombu.binding.topics", "_kombu.binding_permanent.topics"):
        assert server.execute("SMEMBERS", key) == [member]
    server.execute("DEL", "_kombu.binding.topics")
    session.heartbeat()
    assert server.execute("SMEMBERS", "_kombu.binding.topics") == [member]


def test_an_expiring_queue_expires(open_session: OpenSession, server: RespConnection) -> None:
    queue = Queue("brief", Exchange("ex"), "key", expires=100)
    session = open_session()
    session.publish_many([publication(queue), publication(queue, priority=9)])
    for key in (b"brief", b"brief" + SEPARATOR + b"9"):
        assert 90_000 < server.execute("PTTL", key) <= 100_000
    deadline = server.execute("ZSCORE", "_kombu.binding_deadlines", "ex")
    assert float(deadline) / 1000 == pytest.approx(time.time() + 3600, abs=60)
    assert server.execute("EXISTS", "_kombu.binding_permanent.ex") == 0


def test_a_queue_goes_with_its_exclusive_consumer(open_session: OpenSession, server: RespConnection) -> None:
    session = open_session(Queue("mine", Exchange("ex"), "key", exclusive=True))
    assert server.execute("SCARD", "_kombu.binding.ex") == 1
    session.close()
    assert server.execute("EXISTS", "_kombu.binding.ex", "_kombu.binding_permanent.ex") == 0


def test_a_queue_without_acknowledgement_holds_nothing(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue.but(no_ack=True))
    session.publish_many([publication(queue)])
    assert len(session.fetch(limit=5, wait=1)) == 1
    session.heartbeat()
    assert server.execute("EXISTS", "unacked") == 0


def test_every_key_has_the_global_prefix(open_session: OpenSession, server: RespConnection) -> None:
    queue = Queue("q", Exchange("ex"), "key")
    session = open_session(queue, transport_options={"global_keyprefix": "app1:"})
    session.publish_many([publication(queue) for _ in range(4)])
    session.publish_many([publication(queue, not_before=time.time() + 100)])
    first, second, third, _ = session.fetch(limit=5, wait=1)
    session.requeue_many([first])
    session.dead_letter_many([(second, "why")])
    session.defer_many([(third, time.time() + 100)])
    keys = server.execute("KEYS", "*")
    assert len(keys) >= 8
    assert all(key.startswith(b"app1:") for key in keys)


def test_a_deferred_message_keeps_its_priority(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue, priority=6)])
    session.defer_many([(session.fetch(limit=1, wait=1)[0], time.time() + 0.05)])
    session.publish_many([publication(queue, priority=6, not_before=time.time() + 0.05)])
    wait_until(lambda: session.fetch(limit=2, wait=0.5))
    session.close()
    assert server.execute("EXISTS", queue.name) == 0
    assert server.execute("LLEN", queue.name.encode() + SEPARATOR + b"6") == 2


def test_delayed_messages_become_due_in_order(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue)
    due = time.time() + 2
    order = list(range(3000))
    random.shuffle(order)
    session.publish_many([publication(queue, b"%d" % n, not_before=due + n / 1e5) for n in order], timeout=PATIENCE)
    seen: list[int] = []

    def all_came() -> bool:
        deliveries = session.fetch(limit=500, wait=1)
        session.ack_many(deliveries)
        seen.extend(int(delivery.message.body) for delivery in deliveries)
        return len(seen) == len(order)

    wait_until(all_came)
    assert seen == sorted(seen)


@pytest.mark.parametrize("consumed", [True, False])
def test_delays_are_left_to_foreign_workers_where_no_session_consumes(
    open_session: OpenSession, queue: Queue, server: RespConnection, consumed: bool
) -> None:
    session = open_session(*([queue] if consumed else []))
    items = [publication(queue, priority=n % 10, not_before=time.time() + 100) for n in range(1200)]
    for item in items[:1100]:
        item.holdable = True
    session.publish_many(items)
    assert session.depths([queue.name])[queue.name] == (0 if consumed else 1100)
    assert server.execute("ZCARD", f"celeriac.delayed.{queue.name}") == (1200 if consumed else 100)
    assert consumed or server.execute("LLEN", queue.name.encode() + SEPARATOR + b"9") == 110
    assert session.purge(queue.name) == 1200


@pytest.mark.parametrize("key", ["", "some.key"])
def test_fanout_reaches_sessions_that_know_nothing_of_each_other(open_session: OpenSession, key: str) -> None:
    queue = Queue("news-1", Exchange("news", "fanout"))
    consumer = open_session(queue)
    publisher = open_session()
    message = Message(b"x", "text/plain", "utf-8", {}, {})
    publisher.publish_many([Publication(message, Destination("news", key))])
    (delivery,) = consumer.fetch(limit=5, wait=PATIENCE)
    assert (delivery.message.body, delivery.queue, delivery.exchange) == (b"x", "news-1", "news")


def test_a_broadcast_can_be_put_back(open_session: OpenSession) -> None:
    queue = Queue("news-1", Exchange("news", "fanout"))
    session = open_session(queue)

    def publish_and_fetch(**changes: Any) -> Any:
        message = Message(b"x", "text/plain", "utf-8", {}, {})
        session.publish_many([Publication(message, Destination("news", ""), **changes)])
        (delivery,) = session.fetch(limit=5, wait=PATIENCE)
        return delivery

    session.requeue_many([publish_and_fetch()])
    (again,) = session.fetch(limit=5, wait=PATIENCE)
    session.ack_many([again])
    session.defer_many([(publish_and_fetch(), time.time() + 0.05)])
    assert len(wait_until(lambda: session.fetch(limit=5, wait=1))) == 1
    session.dead_letter_many([(publish_and_fetch(), "why")])
    assert [letter.reason for letter in session.dead_letters()] == ["why"]
    session.ack_many([publish_and_fetch()])


def test_fanout_keys_are_patterns_as_in_kombu(open_session: OpenSession) -> None:
    exchange = Exchange("events", "fanout")
    some = open_session(Queue("some", exchange, "task.#"))
    every = open_session(Queue("every", exchange, "#"), Queue("twice", bindings=(binding(exchange, ""),)))
    publisher = open_session()
    message = Message(b"x", "text/plain", "utf-8", {}, {})
    for key in ("task.sent", "worker.online"):
        publisher.publish_many([Publication(message, Destination("events", key))])
    assert [delivery.routing_key for delivery in some.fetch(limit=5, wait=PATIENCE)] == ["task.sent"]
    got: list[tuple[str, str]] = []

    def came() -> bool:
        got.extend((delivery.queue, delivery.routing_key) for delivery in every.fetch(limit=9, wait=0.2))
        return len(got) == 4

    wait_until(came)
    assert len(set(got)) == 4


def test_large_messages_are_not_claimed_by_the_hundred(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue)
    body = bytes(1 << 19)
    for _ in range(4):
        session.publish_many([publication(queue, body) for _ in range(25)])
    first = session.fetch(limit=100, wait=0)
    assert 0 < len(first) < 64
    rest = []
    while found := session.fetch(limit=100, wait=0):
        rest += found
    assert len(first) + len(rest) == 100


@pytest.mark.parametrize("silent", [False, True])
def test_messages_that_share_a_delivery_tag_are_two(
    open_session: OpenSession, queue: Queue, server: RespConnection, silent: bool
) -> None:
    """Producers of other languages may count their tags from 1."""
    for body in (b"one", b"two", b"three"):
        message = Message(body, "application/json", "utf-8", {"id": body.decode()}, {})
        server.execute("LPUSH", queue.name, encode_envelope(message, "", queue.name, "1"))
    holder = open_session(queue, lease=0.2 if silent else 30, sweep_interval=3600)
    held = [*holder.fetch(limit=2, wait=0), *holder.fetch(limit=1, wait=0)]
    assert len({delivery.tag for delivery in held}) == 3
    holder.ack_many([held[1]], confirm=True)
    if not silent:
        holder.close()
    other = open_session(queue, sweep_interval=0.01)
    found = []

    def came_back() -> bool:
        other.heartbeat()
        found.extend(other.fetch(limit=10, wait=0))
        return len(found) == 2

    wait_until(came_back)
    assert sorted(delivery.message.body for delivery in found) == [b"one", b"three"]


def test_what_redis_cannot_expire_is_said(
    open_session: OpenSession, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    session = open_session()
    limited = Queue(queue.name, message_ttl=1.5)
    session.declare([limited])
    session.declare([limited])
    said = [record.getMessage() for record in caplog.records if "x-message-ttl" in record.getMessage()]
    assert len(said) == 1
    assert "x-message-ttl of 1.5 s; give the tasks themselves an expiry" in said[0]
