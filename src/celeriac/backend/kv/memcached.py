"""Results in memcached, through pymemcache.

memcached drops what has been used least when its memory is full, and tells nobody of changes: clients that wait look
again.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import redact

try:
    from pymemcache import exceptions as errors
    from pymemcache.client.base import PooledClient
    from pymemcache.client.hash import HashClient
    from pymemcache.client.retrying import RetryingClient
except ImportError as exc:
    raise missing_package("memcached", "pymemcache", "memcache") from exc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

#: Seconds above which the server takes an expiry for a Unix time.
_LONGEST_EXPIRY: Final = 30 * 86400
_KEYS_IN_ONE: Final = 500
_DEFAULT_PORT: Final = 11211
_RETRY_OPTIONS: Final = {
    "retry_attempts": "attempts",
    "retry_delay": "retry_delay",
    "retry_for": "retry_for",
    "do_not_retry_for": "do_not_retry_for",
}
#: Arguments of the clients that Celery took before; they mean nothing to this one.
_OBSOLETE_OPTIONS: Final = ("behaviors", "binary")


class MemcachedDriver(Driver):
    """One memcached, or several among which the keys are shared out.

    Args:
        servers: ``(host, port)``, or the path of a socket.
        options: Deadlines, and ``cache_backend_options``.
        url: Its URL, masked.
    """

    name = "cache"
    longest_pause = 0.2

    def __init__(self, servers: Sequence[tuple[str, int] | str], options: BackendOptions, url: str) -> None:
        self.url = url
        given = dict(options.settings.get("cache_backend_options") or {})
        for name in _OBSOLETE_OPTIONS:
            if name in given:
                raise ImproperlyConfigured(
                    f"cache_backend_options has {name!r}, which belongs to pylibmc; this backend uses pymemcache"
                )
        retry = {ours: given.pop(name) for name, ours in _RETRY_OPTIONS.items() if name in given}
        arguments = {
            "connect_timeout": min(options.connect_timeout, options.timeout),
            "timeout": options.timeout,
            "no_delay": True,
            "allow_unicode_keys": True,
            **given,
        }
        self._client = PerProcess(lambda: _client(servers, arguments, retry), lambda client: client.close())

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for page in pages([key for key in keys if _is_key(key)], _KEYS_IN_ONE):
            for key, (data, version) in self._client.get().gets_many(page).items():
                found[key] = Stored(data, version)
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        _check(entry, self.url)
        client, expiry = self._client.get(), _expiry(entry.seconds)
        if expecting is ANY:
            return bool(client.set(entry.key, entry.data, expiry, noreply=False))
        if expecting is ABSENT:
            return bool(client.add(entry.key, entry.data, expiry, noreply=False))
        return bool(client.cas(entry.key, entry.data, expecting, expiry, noreply=False))

    def write_many(self, entries: Sequence[Entry]) -> None:
        by_expiry: dict[int, dict[str, bytes]] = {}
        for entry in entries:
            _check(entry, self.url)
            by_expiry.setdefault(_expiry(entry.seconds), {})[entry.key] = entry.data
        for expiry, values in by_expiry.items():
            for page in pages(list(values), _KEYS_IN_ONE):
                failed = self._client.get().set_many({key: values[key] for key in page}, expiry, noreply=False)
                if failed:
                    raise OperationalError(f"{self.url} did not keep {len(failed)} of {len(page)} results")

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages([key for key in keys if _is_key(key)], _KEYS_IN_ONE):
            self._client.get().delete_many(page, noreply=False)

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.MemcacheServerError as exc:
            raise BackendStoreError(
                f"{self.url} refused to keep a result: {_text(exc)}; memcached keeps values of up to 1 MB unless "
                f"it is started with a larger -I"
            ) from exc
        except (errors.MemcacheError, OSError) as exc:
            raise OperationalError(f"{self.url} cannot be reached: {_text(exc)}") from exc

    def close(self) -> None:
        self._client.close()


def _client(servers: Sequence[Any], arguments: Mapping[str, Any], retry: Mapping[str, Any]) -> Any:
    if len(servers) == 1:
        client: Any = PooledClient(servers[0], **arguments)
    else:
        # A server that does not answer keeps its share of the keys: elsewhere nobody would look for them.
        client = HashClient(list(servers), use_pooling=True, **{"retry_attempts": 0, "dead_timeout": 0, **arguments})
    return RetryingClient(client, **retry) if retry else client


def _text(exc: Exception) -> str:
    first = exc.args[0] if exc.args else exc
    return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first) or type(exc).__name__


def _expiry(seconds: float | None) -> int:
    if seconds is None:
        return 0
    whole = max(int(seconds), 1)
    return whole if whole <= _LONGEST_EXPIRY else int(time.time()) + whole


def _is_key(key: str) -> bool:
    return len(key.encode()) <= 250 and not any(character.isspace() or character < "!" for character in key)


def _check(entry: Entry, url: str) -> None:
    if not _is_key(entry.key):
        raise BackendStoreError(
            f"{entry.key!r} is no key of memcached: ids of results in {url} hold no blanks and have at most 200 bytes"
        )


def open_driver(url: str, options: BackendOptions) -> MemcachedDriver:
    """``cache+memcached://host:11211;other/``, or ``memcached://…``; without a host, the one of this machine."""
    rest = url.partition("://")[2]
    servers = [_server(text, url) for text in rest.partition("?")[0].split(";") if text.strip("/")]
    return MemcachedDriver(servers or [("127.0.0.1", _DEFAULT_PORT)], options, redact(url))


def _server(text: str, url: str) -> tuple[str, int] | str:
    if text.startswith("/"):
        return unquote(text)
    host, colon, port = text.strip("/").rpartition(":")
    if not colon:
        return port, _DEFAULT_PORT
    if not port.isdigit():
        raise ImproperlyConfigured(f"result_backend {redact(url)!r} has the port {port!r}; a port is a number")
    return host, int(port)
