"""Idle sessions: told by the server, or looking again where it cannot tell."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from celeriac.testing.contracts.broker_subject import soon_noticed
from tests.integration.redis.conftest import publication
from tests.support import PATIENCE, SLACK, wait_until

if TYPE_CHECKING:
    from celeriac.broker import Queue
    from celeriac.broker.redis import RedisSession
    from celeriac.drivers.resp import RespConnection
    from tests.integration.redis.conftest import OpenSession


def calls(server: RespConnection) -> int:
    """Commands of clients that the server has processed."""
    stats = server.execute("INFO", "stats").decode()
    return int(stats.split("total_commands_processed:")[1].split()[0])


class Consumer(threading.Thread):
    """Fetches until it has what it wants, and notes when."""

    def __init__(self, session: RedisSession, wanted: int) -> None:
        super().__init__(daemon=True)
        self.session, self.wanted = session, wanted
        self.times: list[float] = []
        self.start()

    def stop(self) -> None:
        """Have it end now."""
        self.wanted = 0
        self.session.wake()
        self.join(PATIENCE)
        assert not self.is_alive()

    def run(self) -> None:
        while len(self.times) < self.wanted:
            deliveries = self.session.fetch(limit=8, wait=10 * PATIENCE)
            self.times += [time.monotonic() for _ in deliveries]
            self.session.ack_many(deliveries)


def latency(publisher: RedisSession, consumer: Consumer, queue: Queue) -> float:
    count = len(consumer.times)
    consumer.join(0.02)
    sent_at = time.monotonic()
    publisher.publish_many([publication(queue)])
    wait_until(lambda: len(consumer.times) > count, interval=0.001)
    return consumer.times[count] - sent_at


def test_an_idle_session_sends_nothing(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    session.fetch(limit=1, wait=0)
    before = calls(server)
    assert session.fetch(limit=1, wait=1) == []
    # The look before the wait, the one after it, and our own INFO.
    assert calls(server) - before < 40


def test_a_busy_session_is_told_nothing(open_session: OpenSession, queue: Queue, server: RespConnection) -> None:
    session = open_session(queue)
    server.execute("LPUSH", queue.name, "x", "y")
    # It cannot know beforehand that this look will leave something.
    assert len(session.fetch(limit=1, wait=1)) == 1
    server.execute("LPUSH", queue.name, "x", "y")
    for _ in range(10):
        assert len(session.fetch(limit=1, wait=1)) == 1
        server.execute("LPUSH", queue.name, "x", "y")
        session.depths([queue.name])
        assert session._connection.next_push() is None


def test_a_session_that_emptied_its_queue_asks_nothing_more(
    open_session: OpenSession, queue: Queue, server: RespConnection
) -> None:
    session = open_session(queue)
    server.execute("LPUSH", queue.name, "x", "y")
    deliveries = session.fetch(limit=5, wait=1)
    session.ack_many(deliveries, confirm=True)
    before = calls(server)
    assert session.fetch(limit=5, wait=0.05) == []
    # Our own INFO, and one claim at most, which a FLUSHDB of others on the server causes.
    assert calls(server) - before < 10


@pytest.mark.parametrize("how", ["requeue", "release", "defer", "publish", "another publishes"])
def test_what_comes_back_to_an_emptied_queue_is_claimed_at_once(
    open_session: OpenSession, queue: Queue, how: str
) -> None:
    session, other = open_session(queue), open_session()
    other.publish_many([publication(queue), publication(queue)])
    first, second = session.fetch(limit=5, wait=1)
    if how in ("requeue", "release"):
        session.requeue_many([first], charge=how == "requeue")
    elif how == "defer":
        session.defer_many([(first, time.time() + 0.1)])
    else:
        (session if how == "publish" else other).publish_many([publication(queue)])
    assert len(session.fetch(limit=5, wait=PATIENCE)) == 1
    session.ack_many([second])


@pytest.mark.parametrize("how", ["LPUSH", "RPUSH", "MULTI", "EVAL", "RESTORE", "priority"])
def test_any_way_of_pushing_is_noticed(
    open_session: OpenSession, queue: Queue, server: RespConnection, how: str
) -> None:
    consumer = Consumer(open_session(queue), 1)
    consumer.join(0.05)
    name = queue.name
    if how in ("LPUSH", "RPUSH"):
        server.execute(how, name, "x")
    elif how == "MULTI":
        server.pipeline([("MULTI",), ("SET", "other", 1), ("LPUSH", name, "x"), ("EXEC",)])
    elif how == "EVAL":
        server.execute("EVAL", "redis.call('LPUSH', KEYS[1], 'x')", 1, name)
    elif how == "RESTORE":
        server.execute("LPUSH", "copy", "x")
        server.execute("RENAME", "copy", name)
    else:
        server.execute("LPUSH", name.encode() + b"\x06\x169", "x")
    consumer.join(PATIENCE)
    assert len(consumer.times) == 1


def test_every_idle_session_is_told(open_session: OpenSession, queue: Queue) -> None:
    consumers = [Consumer(open_session(queue), 1) for _ in range(5)]
    consumers[0].join(0.05)
    open_session().publish_many([publication(queue) for _ in range(40)])
    for consumer in consumers:
        consumer.join(PATIENCE)
    assert sum(len(consumer.times) for consumer in consumers) == 40


def test_a_message_for_another_consumer_does_not_end_a_wait(open_session: OpenSession, queue: Queue) -> None:
    first = open_session(queue)
    consumer = Consumer(first, 1)
    consumer.join(0.05)
    rival, publisher = open_session(queue), open_session()
    for _ in range(20):
        publisher.publish_many([publication(queue)])
        rival.ack_many(rival.fetch(limit=5, wait=0))
    if not consumer.times:
        publisher.publish_many([publication(queue)])
    consumer.join(PATIENCE)
    assert not consumer.is_alive()


def test_a_delayed_message_ends_a_wait_when_it_is_due(open_session: OpenSession, queue: Queue) -> None:
    consumer = Consumer(open_session(queue), 1)
    consumer.join(0.05)
    publisher = open_session()
    publisher.publish_many([publication(queue, not_before=time.time() + 100)])
    due = time.monotonic() + 0.2
    publisher.publish_many([publication(queue, not_before=time.time() + 0.2)])
    consumer.join(PATIENCE)
    assert -0.01 <= consumer.times[0] - due < SLACK


@pytest.mark.parametrize("reason", ["protocol", "permission"])
def test_a_server_that_cannot_tell_is_asked_again(
    open_session: OpenSession,
    queue: Queue,
    server: RespConnection,
    redis_url: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = f"{redis_url}?protocol=2"
    if reason == "permission":
        server.execute("ACL", "SETUSER", "mute", "reset", "on", ">pw", "~*", "&*", "+@all", "-client|tracking")
        url = redis_url.replace("redis://", "redis://mute:pw@")
    with caplog.at_level(logging.WARNING, "celeriac"):
        session = open_session(queue, url=url)
        consumer = Consumer(session, 10_000)
        soon_noticed(partial(latency, open_session(), consumer, queue), 0.3)
        consumer.stop()
    assert caplog.text.count("cannot notify") == 1
    woken = Consumer(session, 99)
    woken.join(0.05)
    started = time.monotonic()
    before = calls(server)
    woken.stop()
    # It asks every 5 to 100 ms.
    assert calls(server) - before < 100 + 400 * (time.monotonic() - started)
