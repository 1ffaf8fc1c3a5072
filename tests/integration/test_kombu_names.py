"""Messages of one's own, by the names that code for kombu uses: on real brokers."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.compat import importer
from tests.support import PATIENCE
from tests.support.originals import hide_originals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def kombu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Our kombu, whether there is another or not."""
    monkeypatch.setenv(importer.KOMBU_VARIABLE, "1")
    hide_originals(monkeypatch)
    importer.install()
    yield importlib.import_module("kombu")
    importlib.import_module("kombu.pools").reset()
    importer.uninstall()


@pytest.fixture(params=["memory", "redis", "amqp"])
def connection(request: pytest.FixtureRequest, kombu: Any) -> Iterator[Any]:
    """A connection to each broker."""
    urls = {"redis": "redis_url", "amqp": "amqp_url"}
    url = request.getfixturevalue(urls[request.param]) if request.param in urls else "memory://kombu-names"
    with kombu.Connection(url) as connection:
        yield connection


def test_what_is_put_into_a_queue_is_got_out(connection: Any, unique_name: str) -> None:
    with connection.SimpleQueue(unique_name) as queue:
        queue.put({"id": 1}, headers={"kind": "test"})
        queue.put(b"bytes")
        first, second = queue.get(timeout=PATIENCE), queue.get(timeout=PATIENCE)
        assert (first.payload, first.headers["kind"], second.payload) == ({"id": 1}, "test", b"bytes")
        first.ack()
        second.ack()
        with pytest.raises(queue.Empty):
            queue.get_nowait()
        assert queue.qsize() == 0


def test_a_topic_reaches_the_queues_whose_keys_match(kombu: Any, connection: Any, unique_name: str) -> None:
    exchange = kombu.Exchange(f"{unique_name}.news", type="topic")
    wanted = kombu.Queue(f"{unique_name}.eu", exchange, routing_key="news.eu.#")
    got: list[Any] = []

    def take(body: Any, message: Any) -> None:
        got.append((body, message.delivery_info["routing_key"]))
        message.ack()

    with connection.Consumer([wanted], callbacks=[take]):
        producer = connection.Producer(serializer="json", exchange=exchange)
        for key in ("news.us.x", "news.eu.x"):
            producer.publish([key], routing_key=key, declare=[wanted], retry=True, compression="gzip")
        connection.drain_events(timeout=PATIENCE)
    assert got == [(["news.eu.x"], "news.eu.x")]


def test_a_program_consumes_until_it_is_told_to_stop(kombu: Any, connection: Any, unique_name: str) -> None:
    mixins = importlib.import_module("kombu.mixins")
    queue = kombu.Queue(unique_name, kombu.Exchange(unique_name), routing_key=unique_name)
    got: list[Any] = []

    class Program(mixins.ConsumerMixin):  # type: ignore[misc, name-defined]
        def __init__(self, connection: Any) -> None:
            self.connection = connection

        def get_consumers(self, Consumer: Any, channel: Any) -> Any:
            return [Consumer(queues=[queue], callbacks=[self.take], accept=["json"])]

        def take(self, body: Any, message: Any) -> None:
            got.append(body)
            message.ack()
            self.should_stop = len(got) == 2

    connection.Producer().publish({"n": 1}, routing_key=unique_name, exchange=queue.exchange, declare=[queue])
    connection.Producer().publish({"n": 2}, routing_key=unique_name, exchange=queue.exchange, declare=[queue])
    Program(connection).run()
    assert got == [{"n": 1}, {"n": 2}]


def test_connections_and_producers_are_borrowed(kombu: Any, connection: Any, unique_name: str) -> None:
    with kombu.producers[connection].acquire(block=True) as one:
        one.publish("text", routing_key=unique_name, declare=[kombu.Queue(unique_name)])
    with kombu.producers[connection].acquire(block=True) as same:
        assert same is one
    with kombu.connections[connection].acquire(block=True) as borrowed, borrowed.SimpleQueue(unique_name) as queue:
        message = queue.get(timeout=PATIENCE)
        assert (message.payload, message.content_type) == ("text", "text/plain")
        message.ack()
