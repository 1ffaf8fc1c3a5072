"""Servers for the contracts: a database of each for the whole test process, because making one is slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import servers

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def contract_postgresql_url() -> Iterator[str]:
    """A PostgreSQL database that belongs to this test process."""
    with servers.postgresql_database(servers.unique("celeriac_test")) as url:
        yield url


@pytest.fixture(scope="session")
def contract_mysql_url() -> Iterator[str]:
    """A MySQL or MariaDB database that belongs to this test process."""
    with servers.mysql_database(servers.unique("celeriac_test")) as url:
        yield url
