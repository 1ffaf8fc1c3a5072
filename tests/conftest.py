"""Fixtures and options for every test; what only one directory needs is in that directory's `conftest.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from celeriac.app import shared
from tests.support import cluster, servers, stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.chaosproxy import ChaosProxy

CHAOS_LEVELS = ("off", "sample", "full", "soak")

# Time says nothing on a busy machine.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos",
        choices=CHAOS_LEVELS,
        default="sample",
        help="which tests marked `chaos` run: none, the sample (default), all of minutes, or those of hours as well",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, rather than skip, the chaos tests that the chosen level leaves out."""
    chosen = CHAOS_LEVELS.index(config.getoption("--chaos"))
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        (kept if _chaos_level(item) <= chosen else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def _chaos_level(item: pytest.Item) -> int:
    """The highest of the levels that a test, its parameters and those of its fixtures are marked with."""
    levels = [marker.args[0] if marker.args else "sample" for marker in item.iter_markers("chaos")]
    for level in levels:
        if level not in CHAOS_LEVELS[1:]:
            raise pytest.UsageError(f"{item.nodeid}: chaos level {level!r} is none of 'sample', 'full' and 'soak'")
    return max(map(CHAOS_LEVELS.index, levels), default=0)


#: Tasks shared with every app before any test module was imported.
_SHARED = dict(shared.declarations)


@pytest.fixture(autouse=True)
def own_shared_tasks() -> None:
    """Tasks are shared with every app of the process unless they say otherwise: a test sees none of other modules."""
    shared.declarations.clear()
    shared.declarations.update(_SHARED)


@pytest.fixture
def unique_name() -> str:
    """A name for queues and the like that no other test or run uses."""
    return servers.unique()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL, without a database, of a Redis server that belongs to this test process."""
    with servers.private_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """An empty Redis database."""
    url = f"{redis_server}/1"
    servers.redis_command(url, "FLUSHDB")
    yield url
    servers.redis_command(url, "FLUSHDB")


@pytest.fixture(scope="session")
def redis_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Nodes]:
    """A Redis Cluster that belongs to this test process; use `unique_name` for keys in it."""
    with cluster.private_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest.fixture(scope="session")
def amqp_url() -> Iterator[str]:
    """A RabbitMQ virtual host that belongs to this test process; use `unique_name` for queues in it."""
    with servers.rabbitmq_vhost(servers.unique("celeriac")) as url:
        yield url


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """An empty PostgreSQL database."""
    with servers.postgresql_database(servers.unique("celeriac")) as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """An empty MySQL or MariaDB database."""
    with servers.mysql_database(servers.unique("celeriac")) as url:
        yield url


@pytest.fixture(scope="session")
def memcached() -> Iterator[ChaosProxy]:
    """A proxy before a memcached that belongs to this test process."""
    with stores.private_memcached() as port, stores.behind_proxy(port) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def moto() -> Iterator[ChaosProxy]:
    """A proxy before an emulator of AWS that belongs to this test process."""
    with stores.private_moto() as port, stores.behind_proxy(port) as proxy:
        yield proxy
