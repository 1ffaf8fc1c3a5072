"""Sessions with RabbitMQ, and a look at the server from outside of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac.drivers.amqp.params import params_from_url
from celeriac.testing.contracts import BrokerUnderTest
from celeriac.testing.contracts.broker_subject import new_queue
from tests.integration.amqp.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.broker import BrokerSession, Queue
    from celeriac.drivers.amqp import Channel


@pytest.fixture
def subject(amqp_url: str) -> BrokerUnderTest:
    return BrokerUnderTest(amqp_url)


@pytest.fixture
def queue() -> Queue:
    return new_queue()


@pytest.fixture
def opened(subject: BrokerUnderTest) -> Iterator[Callable[..., BrokerSession]]:
    """Opens sessions that consume some queues, and closes them at the end."""
    sessions: list[BrokerSession] = []

    def open_session(*queues: Queue, **options: Any) -> BrokerSession:
        session: BrokerSession = subject.broker(**options).connect()
        sessions.append(session)
        if queues:
            session.consume(queues)
        return session

    yield open_session
    for session in sessions:
        session.close()


@pytest.fixture
def session(opened: Callable[..., BrokerSession], queue: Queue) -> BrokerSession:
    """A session that consumes `queue`."""
    return opened(queue)


@pytest.fixture
def channel(amqp_url: str) -> Iterator[Channel]:
    """A channel of another client, in confirm mode."""
    connection = params_from_url(amqp_url).connection()
    connection.connect()
    channel = connection.channel()
    channel.confirm_select()
    yield channel
    connection.close()


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[Proxy]:
    """A proxy in front of RabbitMQ."""
    proxy = Proxy(amqp_url)
    yield proxy
    proxy.close()
