"""Servers that a test may kill, a proxy in front of them, and workers that use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support import stores
from tests.support.chaosproxy import ChaosProxy
from tests.support.private import PrivatePostgreSQL, PrivateRabbitMQ, PrivateRedis, PrivateServer
from tests.support.worker import workshops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.worker import Workshop

#: Seconds: a lease that a live worker on a busy machine still renews in time, and between searches for lapsed ones.
LEASE, SWEEP = 3.0, 0.5
#: Seconds in which a worker consumes again once its broker is back.
RECOVERY = 5.0

#: Brokers that a test may kill.
PRIVATE: dict[str, Callable[[Path], PrivateServer]] = {
    "redis": PrivateRedis,
    "postgresql": PrivatePostgreSQL,
    "amqp": PrivateRabbitMQ,
}
KILLABLE = [
    pytest.param("redis"),
    pytest.param("postgresql", marks=pytest.mark.chaos("full")),
    pytest.param("amqp", marks=pytest.mark.chaos("full")),
]


@pytest.fixture
def make_workshop(tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes a workshop on a broker, with short leases."""
    with workshops(tmp_path) as make_one:

        def make(url: str, *, worker_conf: dict[str, Any] | None = None, **conf: Any) -> Workshop:
            settings = {
                "broker_url": url,
                "result_backend": "disabled://",
                "broker_lease": LEASE,
                "broker_sweep_interval": SWEEP,
                "broker_heartbeat": 1,
            }
            return make_one(settings | conf, worker_conf)

        yield make


@pytest.fixture
def memcached_url() -> Iterator[str]:
    """A memcached of the test's own."""
    with stores.private_memcached() as port:
        yield f"cache+memcached://127.0.0.1:{port}/"


@pytest.fixture
def store_urls(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A broker and a result store of the kind that the test gives as its parameter."""
    if request.param == "file":
        (tmp_path / "results").mkdir()
        return request.getfixturevalue("redis_url"), f"file://{tmp_path}/results"
    if request.param == "memcached":
        return request.getfixturevalue("redis_url"), request.getfixturevalue("memcached_url")
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/queue.db"
        return url, url
    url = request.getfixturevalue(f"{request.param}_url")
    return url, f"db+{url}" if request.param == "postgresql" else url


@pytest.fixture(params=KILLABLE)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PrivateServer]:
    """A server of the test's own, running."""
    own = PRIVATE[request.param](tmp_path)
    own.start()
    yield own
    own.resume()
    own.close()


@pytest.fixture
def proxy(server: PrivateServer) -> Iterator[ChaosProxy]:
    """A proxy in front of that server."""
    parts = urlsplit(server.url)
    own = ChaosProxy(parts.hostname or "", parts.port or 0)
    yield own
    own.close()


@pytest.fixture
def proxied_url(server: PrivateServer, proxy: ChaosProxy) -> str:
    """The URL of the server by way of the proxy."""
    parts = urlsplit(server.url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}"))
