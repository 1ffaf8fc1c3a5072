"""The broker contracts, applied to every broker that Celeriac has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.testing.contracts import (
    BrokerContract,
    BrokerUnderTest,
    LeaseContract,
    MalformedContract,
    ServerBrokerContract,
)
from tests.contract import subjects

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["memory", "sqlite", "redis", "postgresql", "mysql", "amqp"]
SERVERS = ["redis", "postgresql", "mysql", "amqp"]


class TestBroker(BrokerContract):
    """Publishing, taking, settling, routing."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestLease(LeaseContract):
    """Leases."""

    @pytest.fixture(params=ALL)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestServer(ServerBrokerContract):
    """Servers that fail."""

    @pytest.fixture(params=SERVERS)
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)


class TestMalformed(MalformedContract):
    """Things in a queue that are no messages."""

    @pytest.fixture(params=["sqlite", "redis", "postgresql", "mysql"])
    def subject(self, request: pytest.FixtureRequest, tmp_path: Path) -> BrokerUnderTest:
        return subjects.broker(request.param, request, tmp_path)
