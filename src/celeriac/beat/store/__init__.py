"""Schedule stores: one port, and a driver for each kind of store.  `open_store` is the table of URL schemes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac.beat.store.base import LeadershipLost, ScheduleStore, Stored, Write
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LeadershipLost", "ScheduleStore", "Stored", "Write", "open_store"]

SCHEMES = ("mariadb", "mysql", "postgresql", "redis", "rediss", "redis+socket", "sqlite")


def open_store(url: str, scope: str = "default", timeout: float = 4.0) -> ScheduleStore:
    """Make a schedule store of its URL. Connects to nothing yet.

    Args:
        url: ``scheme://…``, or the path of a file.
        scope: Separates the schedules of several applications in one store.
        timeout: Seconds that connecting, and each operation, may take.

    Raises:
        ImproperlyConfigured: The scheme is unknown, the URL malformed, or the driver's package missing.
    """
    if "://" not in url:
        url = f"sqlite:///{url}"
    scheme = url.partition("://")[0]
    return _factory(scheme, url)(url, scope, timeout)


def _factory(scheme: str, url: str) -> Callable[[str, str, float], ScheduleStore]:
    """Import the driver of a scheme; drivers load nothing until they are asked for."""
    if scheme == "sqlite":
        from celeriac.beat.store.sqlite import SQLiteStore

        return SQLiteStore
    if scheme in ("redis", "rediss", "redis+socket"):
        from celeriac.beat.store.redis import RedisStore

        return RedisStore
    if scheme.partition("+")[0] in ("postgresql", "postgres"):
        from celeriac.beat.store.postgresql import PostgreSQLStore

        return PostgreSQLStore
    if scheme in ("mysql", "mariadb"):
        from celeriac.beat.store.mysql import MySQLStore

        return MySQLStore
    raise ImproperlyConfigured(
        f"beat_store_url {redact(url)!r} has the unknown scheme {scheme!r}; known are: {', '.join(SCHEMES)}"
    )
