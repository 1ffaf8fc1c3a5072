"""The result backend contracts, applied to every backend that Celeriac has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.testing.contracts import (
    BackendContract,
    BackendUnderTest,
    ChordContract,
    MalformedResultContract,
    ServerBackendContract,
)
from tests.contract import store_subjects, subjects

if TYPE_CHECKING:
    from pathlib import Path

#: Classes that inherit from those of `celery.backends.base`.
WRITTEN_FOR_CELERY = ["keys of celery", "tables of celery"]
ALL = [
    "memory",
    "sqlite",
    "redis",
    "redis+cluster",
    "postgresql",
    "mysql",
    "db+sqlite",
    "rpc",
    *WRITTEN_FOR_CELERY,
    *store_subjects.STORES,
]
CHORDS = ["memory", "sqlite", "redis", "redis+cluster", "postgresql", "mysql", "db+sqlite", *store_subjects.STORES]
SERVERS = ["redis", "redis+cluster", "postgresql", "mysql", "rpc", *store_subjects.SERVERS]
MALFORMED = ["sqlite", "redis", "redis+cluster", "postgresql", "mysql", *WRITTEN_FOR_CELERY, *store_subjects.STORES]


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

    @pytest.fixture(params=MALFORMED)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
        return subjects.backend(request.param, request, tmp_path)


class TestChords(ChordContract):
    """Joining chords."""

    @pytest.fixture(params=CHORDS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BackendUnderTest:
        return subjects.backend(request.param, request, tmp_path)
