from __future__ import annotations

import pytest

from celeriac.backend import BackendOptions, open_backend
from celeriac.drivers.resp import ReplyError
from celeriac.drivers.resp_cluster import Slots, _slots, _target, slot_of
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12739),
        (b"123456789", 12739),
        ("{123456789}.j", 12739),
        ("a{123456789}{b}", 12739),
        ("foo{}{123456789}", slot_of(b"foo{}{123456789}")),
        ("", 0),
    ],
)
def test_slots_of_keys(key: str | bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_empty_braces_are_part_of_the_key() -> None:
    assert slot_of("foo{}{123456789}") != slot_of("123456789")


def test_owners_of_slots() -> None:
    answer = [
        [8192, 16383, [b"b", 7001, b"id", []], [b"c", 7002, b"id", []]],
        [0, 100, [b"", 7000, b"id", []]],
        [200, 300, [None, 7003, b"id"]],
    ]
    slots = _slots(answer, "asked")
    owners = {slot: slots.owner(slot) for slot in (0, 100, 101, 250, 8192, 16383)}
    assert owners == {
        0: ("asked", 7000),
        100: ("asked", 7000),
        101: None,
        250: ("asked", 7003),
        8192: ("b", 7001),
        16383: ("b", 7001),
    }
    assert Slots([], []).owner(0) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("MOVED 3999 127.0.0.1:6381", ("127.0.0.1", 6381)),
        ("MOVED 3999 :6381", ("asked", 6381)),
        ("ASK 3999 ::1:6381", ("::1", 6381)),
        ("ASK 3999 host.example:6381", ("host.example", 6381)),
    ],
)
def test_redirections(text: str, address: tuple[str, int]) -> None:
    assert _target(ReplyError(text), ("asked", 1)) == address


def test_urls_are_shown_without_secrets() -> None:
    backend = open_backend("redis+cluster://user:secret@a:7000;b:7001")
    assert backend.url == "redis+cluster://user:**@a:7000;b:7001"


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(ImproperlyConfigured, match="names the database 2, but Redis Cluster has 0 only"):
        open_backend("redis+cluster://a:7000/2")
    with pytest.raises(ImproperlyConfigured, match="names the database 3"):
        open_backend("redis+cluster://a:7000", BackendOptions(settings={"redis_db": 3}))


def test_tls_is_said_by_the_scheme() -> None:
    with pytest.raises(ImproperlyConfigured, match="write rediss:// to use TLS"):
        open_backend("redis+cluster://a:7000?ssl_cert_reqs=none")
    assert open_backend("rediss+cluster://a:7000?ssl_cert_reqs=required").url.startswith("rediss+cluster://a:7000")
