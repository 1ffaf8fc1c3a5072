"""Workers on every transport that is there, and one worker shared by the tests that leave it as it was."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import servers
from tests.support.worker import shared_worker, workshops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.worker import Workshop

#: Schemes of the brokers that a worker is tried on.
TRANSPORTS = ("redis", "sqlite", "amqp", "postgresql", "mysql")

#: Seconds of a lease that a test lets lapse, or outlasts.
SHORT_LEASE = 4.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of one transport stay in one process of pytest-xdist: they share workers."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "transport" in callspec.params and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"worker-{callspec.params['transport']}"))


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Settings of a broker and a result store that belong to one module."""
    scheme = request.param
    name = servers.unique("work")
    with ExitStack() as stack:
        if scheme == "redis":
            url = f"{redis_server}/2"
            servers.redis_command(url, "FLUSHDB")
            conf = {"broker_url": url, "result_backend": url}
        elif scheme == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/queue.db"
            conf = {"broker_url": url, "result_backend": url}
        elif scheme == "amqp":
            url = stack.enter_context(servers.rabbitmq_vhost(name))
            conf = {"broker_url": url, "result_backend": f"{redis_server}/3"}
        else:
            database = servers.mysql_database if scheme == "mysql" else servers.postgresql_database
            url = stack.enter_context(database(name))
            conf = {"broker_url": url, "result_backend": f"{redis_server}/3"}
        yield conf | {"task_default_queue": name}


@pytest.fixture(scope="module")
def shared(transport: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop with one running worker of two children, for tests that leave it as they found it."""
    with shared_worker(transport, tmp_path_factory.mktemp("shared")) as workshop:
        yield workshop


@pytest.fixture
def make_workshop(tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes a workshop of given settings."""
    with workshops(tmp_path) as make:
        yield lambda **conf: make(conf)


@pytest.fixture
def workshop(redis_url: str, make_workshop: Callable[..., Workshop]) -> Workshop:
    """A workshop on Redis; the test starts the workers."""
    return make_workshop(broker_url=redis_url, result_backend=redis_url)


@pytest.fixture(params=["redis", "amqp"])
def shop(request: pytest.FixtureRequest, redis_url: str, make_workshop: Callable[..., Workshop]) -> Iterator[Workshop]:
    """A workshop on Redis, and one on RabbitMQ; the test starts the workers."""
    conf: dict[str, Any] = {"result_backend": redis_url, "task_default_queue": servers.unique("shop")}
    if request.param == "redis":
        yield make_workshop(broker_url=redis_url, **conf)
    else:
        with servers.rabbitmq_vhost(servers.unique("shop")) as url:
            workshop = make_workshop(broker_url=url, **conf)
            yield workshop
            workshop.close()


@pytest.fixture
def short_leases(workshop: Workshop) -> None:
    """Gives that workshop leases of seconds: enough for a live worker on a busy machine to renew them in time."""
    workshop.conf |= {"broker_lease": SHORT_LEASE, "broker_sweep_interval": 0.5}
