"""One worker for each broker, whom all tests of a module tell what to do and ask how it is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import servers
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRANSPORTS = ("redis", "amqp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of one transport stay in one process of pytest-xdist: they share a worker."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and "transport" in callspec.params and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(f"control-{callspec.params['transport']}"))


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, redis_server: str) -> Iterator[dict[str, Any]]:
    """Settings of a broker and a result store that belong to one module."""
    name = servers.unique("control")
    with ExitStack() as stack:
        if request.param == "redis":
            url = f"{redis_server}/4"
            servers.redis_command(url, "FLUSHDB")
        else:
            url = stack.enter_context(servers.rabbitmq_vhost(name))
        results = f"{redis_server}/5"
        servers.redis_command(results, "FLUSHDB")
        yield {"broker_url": url, "result_backend": results, "task_default_queue": name}


@pytest.fixture(scope="module")
def shop(transport: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop with one running worker of two children, for tests that leave it as they found it."""
    workshop = Workshop(transport | {"worker_prefetch_multiplier": 4}, tmp_path_factory.mktemp("shop"))
    try:
        worker = workshop.start(concurrency=2)
        yield workshop
        assert worker.alive, worker.log[-4000:]
        assert "CRITICAL" not in worker.log, worker.log[-4000:]
    finally:
        workshop.close()


@pytest.fixture
def make_workshop(transport: dict[str, Any], tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes a workshop with a queue of its own; the test starts the workers."""
    made: list[Workshop] = []

    def make(**conf: Any) -> Workshop:
        directory = tmp_path / f"shop{len(made)}"
        directory.mkdir()
        own = {"task_default_queue": servers.unique("own"), "control_exchange": servers.unique("own")}
        made.append(Workshop(transport | own | conf, directory))
        return made[-1]

    yield make
    for workshop in made:
        workshop.close()
