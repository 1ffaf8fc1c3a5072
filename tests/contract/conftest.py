"""Servers for the contracts: a database of each for the whole test process, because making one is slow."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support import servers, stores
from tests.support.emulators import EMULATORS
from tests.support.emulators.http import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.chaosproxy import ChaosProxy


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


@pytest.fixture(scope="session")
def emulated() -> Iterator[Callable[[str], ChaosProxy]]:
    """Gives a proxy before an emulated store that belongs to this test process, by its name."""
    with ExitStack() as stack:

        @cache
        def start(name: str) -> ChaosProxy:
            port = stack.enter_context(serve(EMULATORS[name]()))
            return stack.enter_context(stores.behind_proxy(port))

        yield start
