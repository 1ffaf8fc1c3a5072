"""The result backend contracts, applied to every backend that Celeriac has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.testing.contracts import (
    BackendContract,
    BackendUnderTest,
    MalformedResultContract,
    ServerBackendContract,
)
from tests.contract import subjects

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["memory", "sqlite", "redis", "postgresql", "mysql", "db+sqlite", "rpc"]
SERVERS = ["redis", "postgresql", "mysql", "rpc"]


class TestBackend(BackendContract):
    """Storing, loading, waiting, expiring."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
        return subjects.backend(request.param, request, tmp_path)


class TestServer(ServerBackendContract):
    """Servers that fail."""

    @pytest.fixture(params=SERVERS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
        return subjects.backend(request.param, request, tmp_path)


class TestMalformed(MalformedResultContract):
    """Stored things that are no results."""

    @pytest.fixture(params=["sqlite", "redis", "postgresql", "mysql"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
        return subjects.backend(request.param, request, tmp_path)
