"""Connections and producers used in turn, and messages published through them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, Exchange, Queue, chain, group
from celeriac.app.connection import Connection
from celeriac.app.pools import ConnectionLimitExceeded
from celeriac.exceptions import ImproperlyConfigured, SessionClosed
from celeriac.messaging import Producer
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.message import Delivery


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("pools", broker=f"memory://{unique_name}", backend="disabled://", set_as_current=False) as app:
        app.conf.broker_pool_limit = 2
        yield app


@pytest.fixture
def add(app: Celery) -> Any:
    @app.task(name="proj.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    return add


def taken(app: Celery, *queues: str | Queue) -> list[Delivery]:
    """What waits in queues."""
    with app.connection_for_read() as connection:
        connection.session.consume([app.queues.get_or_create(q) if isinstance(q, str) else q for q in queues])
        return list(connection.session.fetch(limit=100, wait=0))


def count_connections(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    opened: list[Any] = []
    connect = app.broker.connect

    def counting(**options: Any) -> Any:
        opened.append(connect(**options))
        return opened[-1]

    monkeypatch.setattr(app.broker, "connect", counting)
    return opened


def test_calls_share_the_connection_of_a_producer(app: Celery, add: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_connections(app, monkeypatch)
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(3):
            add.apply_async((number, 1), producer=producer)
        app.send_task("proj.other", producer=producer)
    with app.connection_or_acquire() as connection:
        add.apply_async((3, 1), connection=connection)
    assert len(opened) == 2
    monkeypatch.undo()
    assert [delivery.message.headers["task"] for delivery in taken(app, "celery")] == [
        "proj.add", "proj.add", "proj.add", "proj.other", "proj.add",
    ]  # fmt: skip


def test_workflows_are_published_through_a_producer(app: Celery, add: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_connections(app, monkeypatch)
    with app.producer_or_acquire() as producer:
        group(add.s(1, n) for n in range(3)).apply_async(producer=producer)
        chain(add.s(1, 1), add.s(2)).apply_async(producer=producer)
    monkeypatch.undo()
    assert len(opened) == 1
    assert len(taken(app, "celery")) == 4


def test_a_producer_publishes_what_is_no_call(app: Celery) -> None:
    queue = Queue("custom", Exchange("custom"), "routing_key")

    def tell(who: str, producer: Any = None) -> None:
        with app.producer_or_acquire(producer) as producer:
            producer.publish(
                {"hello": who}, serializer="json", exchange=queue.exchange, routing_key="routing_key", declare=[queue],
                retry=True, headers={"x": 1}, correlation_id="c", priority=3, expiration=60,
            )  # fmt: skip

    tell("world")
    with app.producer_pool.acquire() as producer:
        tell("again", producer)
        producer.publish("as it is", content_type="text/plain", routing_key="custom")
        producer.publish(["small"], routing_key="custom", compression="zlib", delivery_mode="transient")
    first, again, plain, small = (delivery.message for delivery in taken(app, queue))
    assert json.loads(first.body) == {"hello": "world"}
    assert (first.content_type, first.headers, first.properties["correlation_id"]) == (
        "application/json",
        {"x": 1},
        "c",
    )
    assert (first.properties["priority"], first.properties["expiration"]) == (3, "60000")
    assert json.loads(again.body) == {"hello": "again"}
    assert (plain.body, plain.content_type, plain.content_encoding) == (b"as it is", "text/plain", "utf-8")
    assert (small.headers, small.properties["delivery_mode"]) == ({"compression": "application/x-gzip"}, 1)


def test_no_more_are_handed_out_than_allowed(app: Celery) -> None:
    one, two = app.pool.acquire(), app.pool.acquire()
    with pytest.raises(ConnectionLimitExceeded, match="all 2 of the pool are in use: release one"):
        app.pool.acquire()
    with pytest.raises(ConnectionLimitExceeded):
        app.pool.acquire(block=True, timeout=0.001)
    got: list[Any] = []
    waiting = threading.Thread(target=lambda: got.append(app.pool.acquire(block=True, timeout=PATIENCE)))
    waiting.start()
    one.release()
    waiting.join(PATIENCE)
    assert got == [one]
    app.pool.resize(3)
    assert app.pool.acquire() not in (one, two)


def test_a_connection_that_failed_is_opened_anew(app: Celery) -> None:
    with pytest.raises(KeyError), app.pool.acquire() as connection:
        connection.connect()
        raise KeyError
    assert not connection.connected
    with app.pool.acquire() as again:
        assert again is connection


def test_a_connection_that_is_given_stays_open(app: Celery) -> None:
    with app.connection_for_write() as mine:
        mine.connect()
        with app.connection_or_acquire(mine) as same:
            assert same is mine
        assert mine.connected
        with app.connection_or_acquire(pool=False) as other:
            other.connect()
        assert not other.connected


def test_closing_the_app_closes_what_waits_in_its_pools(app: Celery) -> None:
    with app.producer_pool.acquire() as producer:
        producer.connection.connect()
    with app.pool.acquire() as connection:
        connection.connect()
    app.close()
    assert not connection.connected
    assert not producer.connection.connected


def test_what_is_no_producer_is_told_of(add: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"no connection to publish through: take one from app\."):
        add.apply_async((1, 1), producer=object())


def test_amqp_shows_queues_and_routes(app: Celery) -> None:
    app.conf.task_routes = {"proj.*": {"queue": "proj"}}
    assert app.amqp.queues is app.queues
    assert app.amqp.router is app.router
    assert app.amqp.routes == {"proj.*": {"queue": "proj"}}
    assert app.amqp.default_queue.name == "celery"
    assert app.amqp.default_exchange is app.queues.default.exchange
    assert app.amqp.producer_pool is app.producer_pool
    before = app.router
    app.amqp.flush_routes()
    assert app.amqp.router is not before


PRODUCERS: list[Callable[[Celery], Producer]] = [
    lambda app: app.producer_pool.acquire(),
    lambda app: app.connection_for_write().Producer(),
    lambda app: Producer(Connection(app.broker)),
]


@pytest.mark.parametrize("make", PRODUCERS, ids=["of the pool", "of a connection", "of no app"])
def test_a_producer_tries_again_on_a_new_connection(app: Celery, make: Callable[[Celery], Producer]) -> None:
    producer = make(app)
    producer.connection.session.close()
    with pytest.raises(SessionClosed):
        producer.publish("lost", routing_key="custom")
    producer.connection.session.close()
    producer.publish("sent", routing_key="custom", retry=True)
    producer.connection.session.close()
    with pytest.raises(SessionClosed):
        producer.publish("lost", routing_key="custom", retry=True, retry_policy={"max_retries": 0})
    assert [delivery.message.body for delivery in taken(app, Queue("custom"))] == [b"sent"]


def test_a_producer_keeps_to_the_retry_policy_of_its_app(app: Celery) -> None:
    app.conf.task_publish_retry_policy = {"max_retries": 0}
    with app.producer_pool.acquire() as producer:
        producer.connection.session.close()
        with pytest.raises(SessionClosed):
            producer.publish("lost", routing_key="custom", retry=True)
