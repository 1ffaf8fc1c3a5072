"""Applications on real brokers, with the workers a test starts."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import servers
from tests.support.client_app import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def settings_of(
    request: pytest.FixtureRequest, redis_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Settings of an application of its own on a broker, given by its scheme; ``+store`` may name the result store."""
    with ExitStack() as stack:
        vhosts: list[str] = []

        def make(scheme: str) -> dict[str, Any]:
            name = servers.unique("client")
            if scheme == "redis":
                url = f"{redis_server}/4"
                # Other tests of this module may be using the database: names keep them apart.
                conf = {"broker_url": url, "result_backend": url}
            elif scheme.startswith("sqlite"):
                url = f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/queue.db"
                conf = {"broker_url": url, "result_backend": url}
                if scheme == "sqlite+file":
                    conf["result_backend"] = f"file://{tmp_path_factory.mktemp('results')}"
                elif scheme == "sqlite+memcached":
                    port = request.getfixturevalue("memcached").port
                    conf["result_backend"] = f"cache+memcached://127.0.0.1:{port}/"
            else:
                if not vhosts:
                    vhosts.append(stack.enter_context(servers.rabbitmq_vhost(name)))
                conf = {"broker_url": vhosts[0], "result_backend": f"{redis_server}/5"}
                if scheme == "amqp+rpc":
                    conf["result_backend"] = "rpc://"
                if scheme == "amqp+postgresql":
                    conf["result_backend"] = "db+" + stack.enter_context(servers.postgresql_database(name))
            return conf | {"task_default_queue": name, "task_create_missing_queue_exchange_type": "direct"}

        yield make


@pytest.fixture
def s(site: Site) -> Callable[..., Any]:
    """Signatures by the name of their task, in modules with a fixture ``site``."""
    return lambda name, *args, **kwargs: site.task(name).s(*args, **kwargs)


@pytest.fixture
def key() -> str:
    """Marks what one test writes into the ledger."""
    return servers.unique()


@pytest.fixture
def make_site(settings_of: Callable[[str], dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes an application on a broker, with further settings."""
    made: list[Site] = []

    def make(scheme: str, **conf: Any) -> Site:
        directory = tmp_path / f"site{len(made)}"
        directory.mkdir()
        made.append(Site({**settings_of(scheme), **conf}, directory))
        return made[-1]

    yield make
    for site in made:
        site.close()
