"""Result backends: one port, and a driver for each kind of store.  `open_backend` is the table of URL schemes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from celeriac.backend.base import (
    BackendCapabilities,
    BackendOptions,
    ChordPart,
    ChordProgress,
    ResultBackend,
    ResultRecord,
)
from celeriac.backend.kv.schemes import NOT_BUILT, STORES
from celeriac.backend.named import named_class, open_class
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.plugins import find_plugin
from celeriac.utils.suggest import closest
from celeriac.utils.url import redact

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "BackendCapabilities",
    "BackendOptions",
    "ChordPart",
    "ChordProgress",
    "ResultBackend",
    "ResultRecord",
    "open_backend",
]

#: Entry points of further stores, by scheme: called with the URL and `BackendOptions`.
GROUP = "celeriac.result_backends"
#: Those of classes written for Celery.
CELERY_GROUP = "celery.result_backends"
#: What brokers and people call them.
_ALSO_CALLED = {
    "amqp": "rpc", "mariadb": "db+mysql", "mysql": "db+mysql", "postgres": "db+postgresql",
    "postgresql": "db+postgresql", "rabbitmq": "rpc", "rediscluster": "redis+cluster", "valkey": "redis",
}  # fmt: skip

_OWN_SCHEMES = (
    "cache+memory", "db", "disabled", "memory", "redis", "redis+cluster", "rediss", "rediss+cluster", "rpc", "sentinel",
    "sqlite",
)  # fmt: skip
SCHEMES = tuple(sorted({*_OWN_SCHEMES, *STORES}))


def open_backend(url: str, options: BackendOptions | None = None) -> ResultBackend:
    """Make a result backend of its URL. Connects to nothing yet.

    Args:
        url: ``scheme://…``, an alias such as ``rpc`` or ``redis``, or a class as ``module:Class``,
            ``package.module.Class``, or before the URL that it is made with, as ``module:Class+scheme://…``.
        options: Settings common to all drivers.

    Raises:
        ImproperlyConfigured: The scheme is unknown, the URL malformed, or the driver's package missing.
    """
    options = options or BackendOptions()
    if url in ("cache", "cache://"):
        url = f"cache+{options.settings.get('cache_backend') or 'memcached://'}"
    scheme = url.partition("://")[0]
    if (place := named_class(url)) is not None:
        return open_class(*place, options)
    if scheme in STORES:
        from celeriac.backend.kv.backend import open_key_value_backend

        return open_key_value_backend(scheme, url, options)
    return _factory(scheme, url)(url, options)


def _factory(scheme: str, url: str) -> Callable[[str, BackendOptions], ResultBackend]:
    """Import the driver of a scheme; drivers load nothing until they are asked for."""
    if scheme in ("memory", "cache+memory"):
        from celeriac.backend.memory import MemoryBackend

        return MemoryBackend
    if scheme == "disabled":
        from celeriac.backend.disabled import DisabledBackend

        return DisabledBackend
    if scheme == "sqlite":
        from celeriac.backend.sqlite import SQLiteBackend

        return SQLiteBackend
    if scheme in ("redis", "rediss", "redis+socket", "sentinel"):
        from celeriac.backend.redis import RedisBackend

        return RedisBackend
    if scheme in ("redis+cluster", "rediss+cluster"):
        from celeriac.backend.redis_cluster import RedisClusterBackend

        return RedisClusterBackend
    if scheme == "rpc":
        from celeriac.backend.rpc import RPCBackend

        return RPCBackend
    if scheme == "database" or scheme.startswith("db"):
        from celeriac.backend.database import DatabaseBackend

        return DatabaseBackend
    return _further(scheme, url)


def _further(scheme: str, url: str) -> Callable[[str, BackendOptions], ResultBackend]:
    """The store of another distribution, or an error that helps."""
    if scheme in NOT_BUILT:
        raise ImproperlyConfigured(
            f"result_backend {redact(url)!r}: results in {NOT_BUILT[scheme]} are not supported yet; "
            f"take one of: {', '.join(SCHEMES)}"
        )
    if (plugin := find_plugin(scheme, GROUP)) is not None:
        return plugin  # type: ignore[no-any-return]
    if (plugin := find_plugin(scheme, CELERY_GROUP)) is not None:
        return partial(open_class, plugin)
    if "://" not in url:
        raise ImproperlyConfigured(
            f"result_backend {redact(url)!r} is not a URL; write scheme://host:port/name, as in "
            f"redis://localhost:6379/0; known schemes are: {', '.join(SCHEMES)}"
        )
    meant = _ALSO_CALLED.get(scheme) or closest(scheme, SCHEMES, similarity=0.7)
    hint = f"did you mean {meant}? Known" if meant else "known"
    raise ImproperlyConfigured(
        f"result_backend {redact(url)!r} has the unknown scheme {scheme!r}; {hint} are: {', '.join(SCHEMES)}"
    )
