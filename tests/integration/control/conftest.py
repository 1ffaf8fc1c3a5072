"""One worker for each broker, whom all tests of a module tell what to do and ask how it is."""

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
    with shared_worker(transport | {"worker_prefetch_multiplier": 4}, tmp_path_factory.mktemp("shop")) as workshop:
        yield workshop


@pytest.fixture
def make_workshop(transport: dict[str, Any], tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes a workshop with a queue of its own; the test starts the workers."""
    with workshops(tmp_path) as make:

        def make_own(**conf: Any) -> Workshop:
            own = {"task_default_queue": servers.unique("own"), "control_exchange": servers.unique("own")}
            return make(transport | own | conf)

        yield make_own
