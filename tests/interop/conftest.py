"""Both libraries on every broker, in both directions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.interop import environment
from tests.interop.fleet import CELERIAC, CELERY, Client, Fleet, other
from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.ledger import Ledger
    from tests.support.worker import RunningWorker

BROKERS = ("redis", "amqp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One fleet for a process of pytest-xdist."""
    here = str(environment.REQUIREMENTS.parent)
    for item in items:
        if not str(item.path).startswith(here):
            continue
        callspec = getattr(item, "callspec", None)
        group = callspec.params.get("broker") if callspec is not None else None
        item.add_marker(pytest.mark.xdist_group(f"interop-{group or item.path.stem}"))


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest) -> str:
    """Kind of the broker."""
    return str(request.param)


@pytest.fixture(scope="session")
def redis_database(redis_server: str) -> str:
    """A Redis database for these tests alone."""
    url = f"{redis_server}/7"
    servers.redis_command(url, "FLUSHDB")
    return url


@pytest.fixture(scope="session")
def fleet(broker: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The processes that tests share: a worker and a client of each library, on one broker, results in Redis."""
    redis = request.getfixturevalue("redis_database")
    url = redis if broker == "redis" else request.getfixturevalue("amqp_url")
    conf = {
        "broker_url": url,
        "result_backend": redis,
        "result_extended": True,
        # As documented for fleets that are mixed: workers of Celery cannot read what is kept in the store.
        "task_graph_inline_max": None,
    }
    made = Fleet(conf, tmp_path_factory.mktemp(broker))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes a fleet of a test's own, with these settings."""
    with ExitStack() as stack:
        count = 0

        def make(**conf: object) -> Fleet:
            nonlocal count
            count += 1
            directory = tmp_path / f"fleet{count}"
            directory.mkdir()
            made = Fleet(dict(conf), directory)
            stack.callback(made.close)
            return made

        yield make


@dataclass
class Pair:
    """A client of one library, and the worker of the other.

    Attributes:
        sender: Library of the client.
        runner: Library of the worker.
        fleet: The fleet both belong to.
        client: The client.
        worker: The worker.
        queue: The worker's queue.
    """

    sender: str
    runner: str
    fleet: Fleet
    client: Client
    worker: RunningWorker
    queue: str

    @property
    def ledger(self) -> Ledger:
        """What tasks wrote down."""
        return self.fleet.ledger


@pytest.fixture(params=(CELERY, CELERIAC), ids=("celery_to_celeriac", "celeriac_to_celery"))
def pair(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Pair]:
    """Messages one way, results the other."""
    sender = request.param
    runner = other(sender)
    worker = fleet.worker(runner)
    yield Pair(sender, runner, fleet, fleet.client(sender), worker, fleet.queue(runner))
    assert worker.alive, worker.log[-4000:]


@pytest.fixture(scope="session")
def results_database() -> Iterator[str]:
    """A PostgreSQL database for results."""
    with servers.postgresql_database(servers.unique("interop")) as url:
        yield url
