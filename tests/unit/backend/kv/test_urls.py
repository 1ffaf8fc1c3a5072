from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, open_backend
from celeriac.backend.kv import memcached
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("cache+memcached://a:11212;b/", "cache+memcached://a:11212;b/"),
        ("memcache://", "memcache://"),
        ("s3://bucket/base/", "s3://bucket/base/"),
        ("dynamodb://key:secret@eu-west-1/table", "dynamodb://key:**@eu-west-1/table"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert open_backend(url).url == shown


def test_cache_takes_its_servers_from_cache_backend() -> None:
    options = BackendOptions(settings={"cache_backend": "memcached://there:11300/"})
    assert open_backend("cache", options).url == "cache+memcached://there:11300/"


def test_cache_may_be_the_memory_of_the_process() -> None:
    options = BackendOptions(settings={"cache_backend": "memory://"})
    assert open_backend("cache", options).capabilities.in_process


@pytest.mark.parametrize(
    ("url", "settings", "message"),
    [
        ("riak://host", {}, "results in Riak, .* are not supported yet; take one of: .*s3"),
        ("azureblockblob", {}, "names no account"),
        ("gs", {}, "no bucket is named"),
        ("gs://bucket?ttl=600", {}, "gcs_ttl is not supported"),
        ("s3", {}, "set s3_bucket"),
        ("dynamodb://key@eu-west-1", {}, "an access key and its secret go together"),
        ("dynamodb://key:secret@eu-west-1/t?read=many", {}, "read is a whole number, not 'many'"),
        ("memcached://host:port/", {}, "has the port 'port'"),
        ("memcached://host/", {"cache_backend_options": {"behaviors": {}}}, "uses pymemcache"),
        ("file:///no/such/directory", {}, "there is no such directory"),
        ("file://elsewhere/results", {}, "no directory of this host"),
        ("file://", {}, "no directory of this host"),
    ],
)
def test_what_cannot_be_used_is_named(url: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        open_backend(url, BackendOptions(settings=settings))


def test_secrets_are_not_in_messages() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        open_backend("dynamodb://key:very-secret@eu-west-1/t?write=x")
    assert "very-secret" not in str(caught.value)


def test_failure_expiry_where_a_store_has_one_age_for_all_is_warned_of(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="result_failure_expires has no effect"):
        open_backend(f"file://{tmp_path}", BackendOptions(failure_expires=10.0))


def test_long_expiries_become_dates() -> None:
    month = 30 * 86400
    assert memcached._expiry(None) == 0
    assert memcached._expiry(0.2) == 1
    assert memcached._expiry(month) == month
    assert memcached._expiry(month + 1.0) > 1_700_000_000
