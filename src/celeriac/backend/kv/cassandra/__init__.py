"""Results in Cassandra and Astra DB, through cassandra-driver.

Each result is kept twice: in a table of our own, which decides what it is, and as a row of Celery's table, for Celery's
clients.  The servers delete what has expired.  Clients that wait look again.

`client` is what the settings make of the package, `tables` the statements, `rows` the form of Celery's rows, and
`driver` what is done when others change a result too, or when nobody knows whether it was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.backend.kv.cassandra.client import read_access
from celeriac.backend.kv.cassandra.driver import CassandraDriver

if TYPE_CHECKING:
    from celeriac.backend.base import BackendOptions


def open_driver(url: str, options: BackendOptions) -> CassandraDriver:
    """``cassandra://``; everything else is in the settings."""
    access = read_access(url, options)
    return CassandraDriver(access.connect, access.lifetime, options.timeout)
