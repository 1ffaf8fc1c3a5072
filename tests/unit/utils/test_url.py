"""Server URLs."""

from __future__ import annotations

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.url import ServerURL, parse_url, redact, split_failover


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", ServerURL("redis")),
        ("redis://cache", ServerURL("redis", host="cache")),
        ("redis://cache:6380/3", ServerURL("redis", host="cache", port=6380, path="3")),
        ("redis://:pw@cache", ServerURL("redis", password="pw", host="cache")),
        ("amqp://me:p%40%2Fw@h:1//", ServerURL("amqp", "me", "p@/w", "h", 1, "/")),
        ("redis://me@cache", ServerURL("redis", username="me", host="cache")),
        ("redis://[::1]:6379/0", ServerURL("redis", host="::1", port=6379, path="0")),
        (
            "redis+socket:///run/r.sock?virtual_host=2",
            ServerURL("redis+socket", path="run/r.sock", query={"virtual_host": "2"}),
        ),
        ("REDISS://h/0?ssl_cert_reqs=none", ServerURL("rediss", host="h", path="0", query={"ssl_cert_reqs": "none"})),
    ],
)
def test_parts_of_a_url(url: str, expected: ServerURL) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize("url", ["localhost:6379", "redis://host:port/0", "redis://host:0", "redis://host:70000"])
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        parse_url(url)


def test_refusal_does_not_show_the_password() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        parse_url("redis://:hunter2@host:port/0")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://u:secret@h/1", "redis://u:**@h/1"),
        ("redis://:secret@h;redis://u:other@i", "redis://:**@h;redis://u:**@i"),
        ("redis://h/1", "redis://h/1"),
        ("redis://u@h", "redis://u@h"),
        ("cannot reach amqp://a:b@c/d now", "cannot reach amqp://a:**@c/d now"),
        ("redis://h/1?password=secret&x=1", "redis://h/1?password=**&x=1"),
        ("rediss://h?ssl_password=secret", "rediss://h?ssl_password=**"),
    ],
)
def test_passwords_are_masked(url: str, expected: str) -> None:
    assert redact(url) == expected


def test_failover_list() -> None:
    assert split_failover("redis://a/0; redis://b/0;") == ["redis://a/0", "redis://b/0"]
    assert split_failover(["amqp://a", "amqp://b;c"]) == ["amqp://a", "amqp://b", "amqp://c"]
    assert split_failover("sqlite:////tmp/x;y") == ["sqlite:////tmp/x", "sqlite://y"]


def test_what_is_no_url_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="5 is not a URL"):
        split_failover(5)  # type: ignore[arg-type]


def test_empty_failover_list_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured):
        split_failover(" ; ")
