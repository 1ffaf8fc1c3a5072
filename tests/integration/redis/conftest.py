"""Sessions on a Redis server that belongs to this test process, and a look behind them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import BrokerOptions, Queue
from celeriac.broker.redis import RedisBroker, RedisSession
from celeriac.drivers.resp import RespConnection
from celeriac.drivers.resp_params import params_from_url
from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    OpenSession = Callable[..., RedisSession]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server for these tests alone: they count connections, commands and channels, which know no databases."""
    with servers.private_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def server(redis_url: str) -> Iterator[RespConnection]:
    """A plain connection to the same database."""
    connection = RespConnection(params_from_url(redis_url, connect_timeout=PATIENCE, timeout=PATIENCE))
    yield connection
    connection.close()


@pytest.fixture
def open_session(redis_url: str) -> Iterator[OpenSession]:
    """Opens sessions that consume some queues, given the options of a broker; closes them at the end."""
    opened: list[RedisSession] = []

    def open_(*queues: Queue, url: str = redis_url, **options: Any) -> RedisSession:
        session = RedisBroker(url, BrokerOptions(**options)).connect()
        assert isinstance(session, RedisSession)
        opened.append(session)
        if queues:
            session.consume(queues)
        return session

    yield open_
    for session in opened:
        session.close()


@pytest.fixture
def queue() -> Queue:
    """A queue."""
    return Queue(f"q-{uuid.uuid4().hex[:8]}")


def publication(queue: Queue, body: bytes = b"[]", **properties: Any) -> Publication:
    """A message to a queue by the default exchange; ``not_before`` is that of the publication."""
    not_before = properties.pop("not_before", None)
    message = Message(body, "application/json", "utf-8", {"id": uuid.uuid4().hex}, properties)
    return Publication(message, Destination("", queue.name, queue), not_before)
