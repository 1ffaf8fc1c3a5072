"""The schedule store contract, applied to every store that beat has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.testing.contracts import ScheduleStoreContract

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = {"redis": "redis_url", "postgresql": "contract_postgresql_url", "mysql": "contract_mysql_url"}


class TestScheduleStore(ScheduleStoreContract):
    """Leading, writing, editing."""

    @pytest.fixture(params=["sqlite", *SERVERS])
    def url(self, request: pytest.FixtureRequest, tmp_path: Path) -> str:
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path}/beat.sqlite3"
        found: str = request.getfixturevalue(SERVERS[request.param])
        return found
