"""Where a Redis server is and how to reach it: URLs, TLS and timeouts as one value.

Opens no connection.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.dataclass import dataclass, replace
from celeriac.utils.url import parse_url, redact

if TYPE_CHECKING:
    from ssl import SSLContext

#: Returns host and port for a new connection, by a deadline.
Locate: TypeAlias = Callable[[float], "tuple[str, int]"]
#: Returns the user name (or None) and the password for a new connection.
Credentials: TypeAlias = Callable[[], "tuple[str | None, str | None]"]

_PLAIN_SCHEMES = ("redis",)
_TLS_SCHEMES = ("rediss",)
_SOCKET_SCHEMES = ("redis+socket", "unix")
#: Options of redis-py that mean nothing here: this driver detects a dead connection with every heartbeat and
#: every deadline, opens as few connections as it needs, and never retries behind the caller's back.
_WITHOUT_EFFECT = frozenset(
    {
        "decode_responses",
        "encoding",
        "encoding_errors",
        "health_check_interval",
        "retry_on_timeout",
        "socket_read_size",
        "socket_type",
    }
)


@dataclass(frozen=True)
class RespParams:
    """Everything needed to open a connection.

    Attributes:
        host, port: TCP address.
        path: Path of a unix socket; takes the place of the TCP address.
        db: Number of the database.
        username, password: Credentials; None sends none.
        credentials: Asked for the credentials of each new connection; takes precedence.
        locate: Asked where the primary is for each new connection; takes the place of the address.
        tls: TLS parameters, or None for a plain connection.
        client_name: Shown by ``CLIENT LIST``.
        connect_timeout: Seconds to connect, handshake included.
        timeout: Seconds for one operation unless the caller gives a deadline.
        keepalive: TCP keep-alive.
        protocol: 3, or 2 for servers and proxies without RESP3.
        max_connections: Most connections a pool may open; None is no limit.
    """

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = None
    credentials: Credentials | None = None
    locate: Locate | None = None
    tls: Mapping[str, Any] | None = None
    client_name: str | None = None
    connect_timeout: float = 4.0
    timeout: float = 10.0
    keepalive: bool = True
    protocol: int = 3
    max_connections: int | None = None

    @property
    def address(self) -> str:
        """The address for messages."""
        return f"unix:{self.path}" if self.path else f"{self.host}:{self.port}/{self.db}"

    def tls_context(self) -> SSLContext | None:
        """The TLS context, or None for a plain connection."""
        if self.tls is None:
            return None
        # OpenSSL is 4 MB in each process of a worker: only those who use TLS pay for it.
        from celeriac.drivers.resp_tls import tls_context

        return tls_context(self.tls)


def params_from_url(
    url: str,
    *,
    connect_timeout: float,
    timeout: float,
    tls: bool | Mapping[str, Any] = False,
    options: Mapping[str, Any] | None = None,
) -> RespParams:
    """Read a Redis URL.

    Accepted are ``redis://[user:password@]host[:port][/db][?option=value]``, the same with ``rediss://`` for TLS,
    and ``redis+socket://[:password@]/path/to/socket[?virtual_host=db]``.

    Args:
        url: The URL.
        connect_timeout: Seconds to connect.
        timeout: Seconds for one operation.
        tls: ``broker_use_ssl`` or ``redis_backend_use_ssl``.
        options: Driver options of the settings; those of the URL take precedence.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used.
    """
    parts = parse_url(url)
    if parts.scheme not in (*_PLAIN_SCHEMES, *_TLS_SCHEMES, *_SOCKET_SCHEMES):
        raise ImproperlyConfigured(
            f"{redact(url)!r} has the scheme {parts.scheme}://; a Redis URL begins with redis://, rediss:// or "
            "redis+socket://"
        )
    given: dict[str, Any] = {**(options or {}), **parts.query}
    is_socket = parts.scheme in _SOCKET_SCHEMES
    path = f"/{parts.path}" if is_socket else None
    db = given.pop("virtual_host", None) or given.pop("db", None) or (None if is_socket else parts.path) or 0
    params = RespParams(
        host=parts.host or "localhost",
        port=parts.port or 6379,
        path=path,
        db=_database(db, url),
        username=parts.username,
        password=parts.password,
        connect_timeout=connect_timeout,
        timeout=timeout,
        tls=_tls_options(parts.scheme, tls, given, url),
    )
    return _apply_options(params, given, url)


def _database(value: Any, url: str) -> int:
    text = str(value).strip("/")
    if not text.isdigit():
        raise ImproperlyConfigured(
            f"{redact(url)!r} names the database {text!r}; Redis databases are numbers, as in redis://host:6379/0"
        )
    return int(text)


def _tls_options(
    scheme: str, tls: bool | Mapping[str, Any], given: dict[str, Any], url: str
) -> Mapping[str, Any] | None:
    """Collect the ``ssl_*`` options and take them out of ``given``."""
    from_url = {key: given.pop(key) for key in list(given) if key.startswith("ssl_")}
    if scheme not in _TLS_SCHEMES and not tls:
        if from_url:
            raise ImproperlyConfigured(
                f"{redact(url)!r} has TLS options ({', '.join(sorted(from_url))}) but its scheme is {scheme}://; "
                "write rediss:// to use TLS"
            )
        return None
    return {**(tls if isinstance(tls, Mapping) else {}), **from_url}


def _apply_options(params: RespParams, given: Mapping[str, Any], url: str) -> RespParams:
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key in _OPTIONS:
            name, convert = _OPTIONS[key]
            if value is not None:
                changes[name] = convert(value)
        elif key not in _WITHOUT_EFFECT:
            raise ImproperlyConfigured(
                f"{redact(url)!r}: unknown Redis option {key!r}; known are {', '.join(sorted(_OPTIONS))}"
            )
    return replace(params, **changes)


def boolean(value: Any) -> bool:
    """Whether an option of a URL or of the settings is on."""
    return str(value).lower() in ("1", "true", "yes", "on")


def _provider(value: Any) -> Credentials:
    """Accept a provider object, its class, or the dotted path of either."""
    if isinstance(value, str):
        module, _, name = value.rpartition(".")
        try:
            value = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ImproperlyConfigured(f"credential_provider {value!r} cannot be imported: {error}") from error
    if isinstance(value, type):
        value = value()
    get = getattr(value, "get_credentials", value)
    if not callable(get):
        raise ImproperlyConfigured(f"credential_provider {value!r} has no method get_credentials()")

    def credentials() -> tuple[str | None, str | None]:
        found = tuple(get())
        return (None, found[0]) if len(found) == 1 else (found[0], found[1])

    return credentials


_OPTIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "client_name": ("client_name", str),
    "credential_provider": ("credentials", _provider),
    "max_connections": ("max_connections", int),
    "password": ("password", str),
    "protocol": ("protocol", int),
    "socket_connect_timeout": ("connect_timeout", float),
    "socket_keepalive": ("keepalive", boolean),
    "socket_timeout": ("timeout", float),
    "username": ("username", str),
}
