"""URLs and options of AMQP servers."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from celeriac.drivers.amqp.params import params_from_url, tls_context
from celeriac.exceptions import ImproperlyConfigured, SecurityWarning


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://", ("localhost", 5672, "guest", "guest", "/")),
        ("amqp://host", ("host", 5672, "guest", "guest", "/")),
        ("pyamqp://u:p@host:1234/", ("host", 1234, "u", "p", "/")),
        ("amqp://u:p@host//", ("host", 5672, "u", "p", "/")),
        ("amqp://u:p@host/vhost", ("host", 5672, "u", "p", "vhost")),
        ("amqp://u:p@host//vhost", ("host", 5672, "u", "p", "/vhost")),
        ("amqp://u%40x:p%2Fq@host/a%2Fb", ("host", 5672, "u@x", "p/q", "a/b")),
        ("amqps://u:p@[::1]/v", ("::1", 5671, "u", "p", "v")),
    ],
)
def test_urls(url: str, expected: tuple[Any, ...]) -> None:
    params = params_from_url(url)
    assert (params.host, params.port, params.user, params.password, params.vhost) == expected
    assert (params.tls is not None) == url.startswith("amqps")


def test_options_of_the_url_take_precedence() -> None:
    options = {"heartbeat": 10, "confirm_publish": False, "client_properties": {"connection_name": "x"}}
    params = params_from_url("amqp://h?heartbeat=30&login_method=EXTERNAL", options=options, heartbeat=5.0)
    assert (params.heartbeat, params.login_method, params.confirm_publish) == (30.0, "EXTERNAL", False)
    assert params.client_properties == {"connection_name": "x"}


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("amqp://u:secret@h?nonsense=1", {}, "nonsense"),
        ("amqp://h", {"frame_max": "many"}, "frame_max is 'many'"),
        ("amqp://h", {"client_properties": "x"}, "mapping"),
        ("amqp://h?ssl_ca_certs=/x", {}, "amqps://"),
        ("amqp://h:notaport/", {}, "notaport"),
    ],
)
def test_what_cannot_be_used_is_named(url: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text) as caught:
        params_from_url(url, options=options)
    assert "secret" not in str(caught.value)


def test_tls_verifies_unless_told_otherwise() -> None:
    params = params_from_url("amqp://h", tls=True)
    assert params.tls == {}
    context = tls_context({})
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.warns(SecurityWarning, match="not verified"):
        assert tls_context({"cert_reqs": ssl.CERT_NONE}).verify_mode == ssl.CERT_NONE
    ready = ssl.create_default_context()
    assert tls_context({"context": ready}) is ready
    with pytest.raises(ImproperlyConfigured, match="cert_reqs"):
        tls_context({"cert_reqs": "sometimes"})
    with pytest.raises(ImproperlyConfigured, match="ssl_version"):
        params_from_url("amqps://h", tls={"ssl_version": 2})
