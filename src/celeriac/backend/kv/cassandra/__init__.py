"""Results in Cassandra and Astra DB, through cassandra-driver.

Each result is kept twice: in a table of our own, which decides what it is, and as a row of Celery's table, for Celery's
clients.  The servers delete what has expired.  Clients that wait look again.

`client` is the package, `access` what the settings say, `tables` are the statements, `rows` the form of Celery's rows,
`transactions` are changes of which it is known whether they were made, and `driver` puts them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.backend.kv.cassandra.access import read_access
from celeriac.backend.kv.cassandra.driver import CassandraDriver

if TYPE_CHECKING:
    from celeriac.backend.base import BackendOptions


def open_driver(url: str, options: BackendOptions) -> CassandraDriver:
    """``cassandra://``; everything else is in the settings."""
    access = read_access(url, options)
    return CassandraDriver(access.connect, access.lifetime, options.timeout)
