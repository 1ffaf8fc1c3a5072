"""Redis URLs, options and TLS."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from celeriac.drivers.resp_params import RespParams, params_from_url
from celeriac.exceptions import ImproperlyConfigured, SecurityWarning


def read(url: str, **options: Any) -> RespParams:
    tls = options.pop("tls", False)
    return params_from_url(url, connect_timeout=4, timeout=10, tls=tls, options=options)


def test_tcp_address() -> None:
    params = read("redis://me:pw@cache:6380/3")
    assert (params.host, params.port, params.db, params.path) == ("cache", 6380, 3, None)
    assert (params.username, params.password, params.tls) == ("me", "pw", None)


def test_defaults() -> None:
    params = read("redis://")
    assert (params.host, params.port, params.db, params.password) == ("localhost", 6379, 0, None)
    assert (params.connect_timeout, params.timeout, params.protocol) == (4, 10, 3)


def test_unix_socket() -> None:
    params = read("redis+socket://:pw@/run/redis.sock?virtual_host=5")
    assert (params.path, params.db, params.password) == ("/run/redis.sock", 5, "pw")


def test_options_of_the_url_go_before_those_of_the_settings() -> None:
    params = read("redis://h/0?client_name=url&socket_timeout=3", client_name="settings", max_connections=7)
    assert (params.client_name, params.timeout, params.max_connections) == ("url", 3.0, 7)


@pytest.mark.parametrize(
    "url", ["redis://h/name", "sentinel://h:26379", "redis://h/0?no_such_option=1", "redis://h/0?ssl_cert_reqs=none"]
)
def test_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        read(url)


def test_tls_verifies_by_default() -> None:
    context = read("rediss://h").tls_context()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert read("redis://h", tls=True).tls_context() is not None
    assert read("redis://h").tls_context() is None


@pytest.mark.parametrize("value", ["none", "CERT_NONE", ssl.CERT_NONE])
def test_unverified_tls_warns(value: Any) -> None:
    with pytest.warns(SecurityWarning, match="not verified"):
        context = read("rediss://h", tls={"ssl_cert_reqs": value}).tls_context()
    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_unknown_certificate_requirement_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="ssl_cert_reqs"):
        read("rediss://h?ssl_cert_reqs=sometimes").tls_context()


class Provider:
    """A credential provider as redis-py has them."""

    def get_credentials(self) -> tuple[str, ...]:
        return ("me", "today's")


class PasswordOnly(Provider):
    def get_credentials(self) -> tuple[str, ...]:
        return ("today's",)


@pytest.mark.parametrize(
    ("provider", "expected"),
    [(Provider, ("me", "today's")), (Provider(), ("me", "today's")), (PasswordOnly, (None, "today's"))],
)
def test_credential_provider(provider: Any, expected: tuple[str | None, str]) -> None:
    credentials = read("redis://h", credential_provider=provider).credentials
    assert credentials is not None
    assert credentials() == expected


@pytest.mark.parametrize("path", ["nowhere.Provider", "json.NoSuchThing", "x", 5])
def test_unusable_credential_provider_is_refused(path: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="credential_provider"):
        read("redis://h", credential_provider=path)
