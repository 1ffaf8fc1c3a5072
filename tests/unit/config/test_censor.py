from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.config.censor import MASK, censor, mask_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:secret@h:6379/0", f"redis://u:{MASK}@h:6379/0"),
        ("redis://:secret@h/1", f"redis://:{MASK}@h/1"),
        ("amqp://guest@h//", "amqp://guest@h//"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://h:6379/0?client=a@b", "redis://h:6379/0?client=a@b"),
        ("amqp://a:b@h1;amqp://c:d@h2", f"amqp://a:{MASK}@h1;amqp://c:{MASK}@h2"),
        ("db+postgresql+psycopg://u:p@h/d", f"db+postgresql+psycopg://u:{MASK}@h/d"),
        ("redis://u:p@ss@h/0", f"redis://u:{MASK}@h/0"),
        ("redis://u:p/ss@h/0", f"redis://u:{MASK}@h/0"),
        ("redis://h/0?password=p&db=1", f"redis://h/0?password={MASK}&db=1"),
        ("amqp://", "amqp://"),
        ("", ""),
    ],
)
def test_passwords_of_urls_are_masked_and_the_rest_is_kept(url: str, shown: str) -> None:
    assert mask_url(url) == shown


@given(st.from_regex(r"[^\s;]{1,20}", fullmatch=True), st.sampled_from(["redis", "amqp", "db+mysql"]))
def test_no_password_shows(password: str, scheme: str) -> None:
    marked = f"p4ssw0rd{password}"
    assert "p4ssw0rd" not in mask_url(f"{scheme}://user:{marked}@host/0")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("security_key", "x", MASK),
        ("redis_password", None, MASK),
        ("S3_SECRET_ACCESS_KEY", "x", MASK),
        ("my_api", "x", MASK),
        ("database_url", "x", MASK),
        ("task_serializer", "json", "json"),
        ("broker_url", "redis://:p@h", f"redis://:{MASK}@h"),
        ("broker_read_url", ["redis://:p@h"], [f"redis://:{MASK}@h"]),
        ("result_backend", "redis://:p@h", f"redis://:{MASK}@h"),
        ("result_backend", None, None),
        ("mongodb_backend_settings", {"user": "u", "password": "p"}, {"user": "u", "password": MASK}),
        ("broker_transport_options", {"a": {"token": 1, "b": 2}}, {"a": {"token": MASK, "b": 2}}),
        ("broker_transport_options", {"a": [{"token": 1}]}, {"a": [{"token": MASK}]}),
        ("accept_content", ("json",), ("json",)),
    ],
)
def test_secret_settings_are_hidden(key: str, value: Any, shown: Any) -> None:
    assert censor(key, value) == shown
