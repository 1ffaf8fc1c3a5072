"""Where an AMQP server is and how to reach it: URLs, TLS and options as one value.

Opens no connection by itself.
"""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from celeriac.drivers.amqp.connection import AMQPConnection
from celeriac.exceptions import ImproperlyConfigured, SecurityWarning
from celeriac.utils.dataclass import dataclass, field, replace
from celeriac.utils.url import parse_url, redact

_TLS_SCHEMES = ("amqps",)
_DEFAULT_PORT, _DEFAULT_TLS_PORT = 5672, 5671
_CERT_REQS = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_TLS_OPTIONS = frozenset(
    {
        "ca_certs",
        "ca_path",
        "cert_reqs",
        "certfile",
        "check_hostname",
        "ciphers",
        "context",
        "keyfile",
        "password",
        "server_hostname",
    }
)


@dataclass(frozen=True)
class AMQPParams:
    """Everything needed to open a connection.

    Attributes:
        host, port: TCP address.
        user, password: Credentials.
        vhost: Virtual host.
        tls: TLS parameters under their names in py-amqp, or None for a plain connection.
        login_method: ``PLAIN``, ``AMQPLAIN`` or ``EXTERNAL``; None is the first of the first two that is offered.
        heartbeat: Seconds between signs of life; 0 is off.
        connect_timeout: Seconds to connect, login included.
        operation_timeout: Seconds for one operation unless the caller gives a deadline.
        channel_max: Highest channel number wanted.
        frame_max: Largest frame wanted, in bytes.
        client_properties: Additions to what the server shows about this client.
        confirm_publish: Wait for publisher confirms; None leaves it to the caller.
    """

    host: str = "localhost"
    port: int = _DEFAULT_PORT
    user: str = "guest"
    password: str = "guest"  # noqa: S105 - the documented default of every AMQP server
    vhost: str = "/"
    tls: Mapping[str, Any] | None = None
    login_method: str | None = None
    heartbeat: float = 0.0
    connect_timeout: float = 4.0
    operation_timeout: float = 10.0
    channel_max: int = 2047
    frame_max: int = 131072
    client_properties: Mapping[str, Any] = field(default_factory=dict)
    confirm_publish: bool | None = None

    @property
    def address(self) -> str:
        """The address for messages."""
        return f"{self.host}:{self.port}, virtual host {self.vhost!r}"

    def connection(self) -> AMQPConnection:
        """A connection that has yet to connect."""
        tls = self.tls
        return AMQPConnection(
            self.host,
            self.port,
            self.user,
            self.password,
            self.vhost,
            ssl=None if tls is None else tls_context(tls),
            server_hostname=None if tls is None else tls.get("server_hostname"),
            heartbeat=self.heartbeat,
            connect_timeout=self.connect_timeout,
            operation_timeout=self.operation_timeout,
            login_method=self.login_method,
            client_properties=self.client_properties,
            channel_max=self.channel_max,
            frame_max=self.frame_max,
        )


def params_from_url(
    url: str,
    *,
    tls: bool | Mapping[str, Any] = False,
    options: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> AMQPParams:
    """Read an AMQP URL: ``amqp://[user:password@]host[:port][/vhost][?option=value]``, or ``amqps://`` for TLS.

    No virtual host, ``/`` and ``//`` are the virtual host ``/``; others are percent-decoded.

    Args:
        url: The URL.
        tls: ``broker_use_ssl``: True or a mapping of py-amqp's TLS parameters.
        options: Driver options of the settings; those of the URL take precedence.
        **defaults: Attributes of `AMQPParams`.

    Raises:
        ImproperlyConfigured: The URL or an option cannot be used.
    """
    parts = parse_url(url)
    given: dict[str, Any] = {**(options or {}), **parts.query}
    tls_options = _tls_options(parts.scheme, tls, given, url)
    params = AMQPParams(
        host=parts.host or "localhost",
        port=parts.port or (_DEFAULT_PORT if tls_options is None else _DEFAULT_TLS_PORT),
        user="guest" if parts.username is None else parts.username,
        password="guest" if parts.password is None else parts.password,
        vhost=parts.path or "/",
        tls=tls_options,
        **defaults,
    )
    changes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _OPTIONS:
            raise ImproperlyConfigured(
                f"{redact(url)!r}: unknown AMQP option {key!r}; known are {', '.join(sorted(_OPTIONS))}"
            )
        if value is not None:
            name, convert = _OPTIONS[key]
            changes[name] = _converted(convert, key, value, url)
    return replace(params, **changes)


def _converted(convert: Callable[[Any], Any], key: str, value: Any, url: str) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{redact(url)!r}: AMQP option {key} is {value!r}: {error}") from error


def _boolean(value: Any) -> bool:
    return str(value).lower() in ("1", "true", "yes", "on")


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("it has to be a mapping")
    return value


_OPTIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "channel_max": ("channel_max", int),
    "client_properties": ("client_properties", _mapping),
    "confirm_publish": ("confirm_publish", _boolean),
    "connect_timeout": ("connect_timeout", float),
    "frame_max": ("frame_max", int),
    "heartbeat": ("heartbeat", float),
    "login_method": ("login_method", str),
    "read_timeout": ("operation_timeout", float),
    "write_timeout": ("operation_timeout", float),
}


def _tls_options(
    scheme: str, tls: bool | Mapping[str, Any], given: dict[str, Any], url: str
) -> Mapping[str, Any] | None:
    """Collect the TLS options and take them out of ``given``."""
    from_url = {_tls_name(key): given.pop(key) for key in list(given) if key.startswith("ssl_")}
    if scheme not in _TLS_SCHEMES and not tls:
        if from_url:
            raise ImproperlyConfigured(
                f"{redact(url)!r} has TLS options ({', '.join(sorted(from_url))}) but its scheme is {scheme}://; "
                "write amqps:// or set broker_use_ssl"
            )
        return None
    from_settings = {_tls_name(key): value for key, value in tls.items()} if isinstance(tls, Mapping) else {}
    found = {**from_settings, **from_url}
    unknown = sorted(found.keys() - _TLS_OPTIONS)
    if unknown:
        raise ImproperlyConfigured(
            f"broker_use_ssl has the unknown TLS option {unknown[0]!r}; known are {', '.join(sorted(_TLS_OPTIONS))}"
        )
    return found


def _tls_name(key: str) -> str:
    """The name in py-amqp of an option that may be written as in redis-py (``ssl_certfile``)."""
    name = key.removeprefix("ssl_")
    return name if name in _TLS_OPTIONS else key


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """The TLS context of a mapping with py-amqp's keys; ``context`` passes a ready one.

    Certificates are verified unless ``cert_reqs`` says otherwise.
    """
    ready = options.get("context")
    if isinstance(ready, ssl.SSLContext):
        return ready
    context = ssl.create_default_context(cafile=options.get("ca_certs"), capath=options.get("ca_path"))
    required = _certificate_requirement(options.get("cert_reqs"))
    check_hostname = options.get("check_hostname")
    context.check_hostname = required == ssl.CERT_REQUIRED and (check_hostname is None or _boolean(check_hostname))
    context.verify_mode = required
    certfile = options.get("certfile")
    if certfile:
        context.load_cert_chain(certfile, options.get("keyfile"), options.get("password"))
    ciphers = options.get("ciphers")
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def _certificate_requirement(value: Any) -> ssl.VerifyMode:
    if value is None:
        return ssl.CERT_REQUIRED
    name = ssl.VerifyMode(value).name if isinstance(value, int) else str(value)
    found = _CERT_REQS.get(name.upper().removeprefix("CERT_").lower())
    if found is None:
        raise ImproperlyConfigured(
            f"broker_use_ssl: cert_reqs is {value!r}; it has to be one of required, optional, none "
            "(or CERT_REQUIRED, CERT_OPTIONAL, CERT_NONE)"
        )
    if found is not ssl.CERT_REQUIRED:
        warnings.warn(
            f"broker_use_ssl: cert_reqs={name}: the AMQP server's certificate is not verified, so that a third party "
            "can read and change messages",
            SecurityWarning,
            stacklevel=2,
        )
    return found
