"""The environments of third parties, and servers for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import servers
from tests.thirdparty.programs import ALONE, BESIDE

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The tests of a file share what they start; some are left out, rather than skipped, unless all are wanted."""
    left_out: list[pytest.Item] = []
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.xdist_group(f"thirdparty-{item.path.stem}"))
            if item.get_closest_marker("thirdparty") and "CELERIAC_TEST_THIRDPARTY" not in os.environ:
                left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session", params=(pytest.param(BESIDE, marks=pytest.mark.thirdparty), ALONE))
def kind(request: pytest.FixtureRequest) -> str:
    """How the door is open."""
    return str(request.param)


@pytest.fixture(scope="module")
def redis(redis_server: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A Redis database that the tests of a file have to themselves."""
    url = f"{redis_server}/11"
    servers.redis_command(url, "FLUSHDB")
    yield url
    servers.redis_command(url, "FLUSHDB")
