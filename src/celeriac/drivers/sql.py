"""SQLAlchemy engines for a process that may fork, with a deadline on everything.

It knows no tables.
"""

from __future__ import annotations

import importlib.util
import math
import os
import threading
from typing import TYPE_CHECKING, Any

try:
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy import exc as errors
    from sqlalchemy.dialects.mysql import LONGBLOB, LONGTEXT
    from sqlalchemy.dialects.mysql import insert as mysql_insert
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.pool import NullPool
except ImportError as exc:
    from celeriac.exceptions import ImproperlyConfigured

    raise ImproperlyConfigured(
        "a db+… result backend needs the package sqlalchemy: pip install 'celeriac[sqlalchemy]'"
    ) from exc

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "URL",
    "Engines",
    "engine_url",
    "errors",
    "large_binary",
    "large_text",
    "mysql_insert",
    "postgresql_insert",
    "sa",
    "sqlite_insert",
]

#: The driver taken for a URL that names none: the first that is installed.
_DRIVERS = {
    "postgresql": (("psycopg", "postgresql+psycopg"), ("psycopg2", "postgresql+psycopg2")),
    "mysql": (("MySQLdb", "mysql+mysqldb"), ("pymysql", "mysql+pymysql")),
    "mariadb": (("MySQLdb", "mariadb+mysqldb"), ("pymysql", "mariadb+pymysql")),
}


def engine_url(url: str) -> URL:
    """The URL of a database with a driver that is installed.

    Args:
        url: As SQLAlchemy takes it; ``postgres://`` is understood as well.

    Raises:
        ImproperlyConfigured: It cannot be parsed.
    """
    try:
        parsed = make_url(url)
    except errors.ArgumentError as exc:
        raise ImproperlyConfigured(
            f"the database URL of the result backend cannot be parsed; it has to be "
            f"db+<dialect>://user:password@host/database: {exc}"
        ) from exc
    if parsed.drivername == "postgres":
        parsed = parsed.set(drivername="postgresql")
    for module, drivername in _DRIVERS.get(parsed.drivername, ()):
        if importlib.util.find_spec(module) is not None:
            return parsed.set(drivername=drivername)
    return parsed


def large_binary() -> Any:
    """A column for bytes of any length; MySQL's BLOB ends at 64 KB."""
    return sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def large_text() -> Any:
    """A column for text of any length; MySQL's TEXT ends at 64 KB."""
    return sa.Text().with_variant(LONGTEXT(), "mysql", "mariadb")


class Engines:
    """One engine in each process: a connection must not be shared over a fork.

    Args:
        url: URL of the database.
        options: For ``create_engine``.
        connect_timeout: Seconds to connect.
        timeout: Seconds for a statement.
        keep: Keep connections open between statements.
        prepare: Called with each new engine.
    """

    def __init__(
        self,
        url: URL,
        options: Mapping[str, Any],
        *,
        connect_timeout: float,
        timeout: float,
        keep: bool,
        prepare: Callable[[sa.Engine], None],
    ) -> None:
        self._url = url
        self._options = dict(options)
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._keep = keep
        self._prepare = prepare
        self._lock = threading.Lock()
        self._engine: sa.Engine | None = None
        self._pid = 0

    def get(self) -> sa.Engine:
        """The engine of this process.

        Raises:
            ImproperlyConfigured: The dialect or an option is unknown, or the driver is not installed.
        """
        engine = self._engine
        if engine is not None and self._pid == os.getpid():
            return engine
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    # The parent's connections: forget them without a good-bye to the server.
                    self._engine.dispose(close=False)
                engine = self._create()
                self._prepare(engine)
                self._engine, self._pid = engine, os.getpid()
            return self._engine

    def close(self) -> None:
        """Close the connections of this process."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose(close=self._pid == os.getpid())

    def _create(self) -> sa.Engine:
        options = dict(self._options)
        arguments = self._driver_arguments()
        arguments.update(options.pop("connect_args", {}))
        if not self._keep:
            options = {name: value for name, value in options.items() if not name.startswith("pool")}
            options["poolclass"] = NullPool
        try:
            engine = sa.create_engine(self._url, connect_args=arguments, **options)
        except (errors.NoSuchModuleError, errors.ArgumentError, ImportError, TypeError) as exc:
            raise ImproperlyConfigured(
                f"the result backend {self._url.render_as_string()} cannot be used: {exc}; check the URL, "
                f"database_engine_options, and that the driver is installed"
            ) from exc
        if engine.driver == "psycopg":
            _set_deadline(engine, self._timeout)
        return engine

    def _driver_arguments(self) -> dict[str, Any]:
        """Deadlines in the words of each driver."""
        driver, seconds = self._url.get_driver_name(), max(1, math.ceil(self._connect_timeout))
        if driver in ("psycopg", "psycopg2"):
            return {"connect_timeout": seconds}
        if driver in ("pymysql", "mysqldb"):
            limit = max(1, math.ceil(self._timeout))
            return {"connect_timeout": seconds, "read_timeout": limit, "write_timeout": limit}
        if driver == "pysqlite":
            return {"timeout": self._timeout}
        return {}


def _set_deadline(engine: sa.Engine, seconds: float) -> None:
    """Have psycopg give up on a server that does not answer: its own statements wait for ever."""
    from celeriac.drivers.postgresql import DeadlineConnection  # its package is optional

    class Connection(DeadlineConnection):
        deadline = seconds

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
        return Connection.connect(*arguments, **parameters)
