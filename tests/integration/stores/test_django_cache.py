"""Caches of Django that are fit for chords, and the lock of a write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, open_backend
from celeriac.backend.kv.driver import Entry
from celeriac.exceptions import OperationalError
from tests.support import servers, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def make_alias() -> Iterator[Callable[[str], str]]:
    """Makes a cache with a backend of Django's; returns its alias."""
    stores.configure_django()
    from django.core.cache import caches

    made = []

    def make(kind: str) -> str:
        alias = servers.unique()
        caches.settings[alias] = {"BACKEND": f"django.core.cache.backends.{kind}", "LOCATION": alias}
        made.append(alias)
        return alias

    yield make
    for alias in made:
        del caches.settings[alias]


@pytest.mark.parametrize("kind", ["locmem.LocMemCache", "dummy.DummyCache", "filebased.FileBasedCache"])
def test_caches_that_are_not_shared_refuse_chords(make_alias: Callable[[str], str], kind: str) -> None:
    backend = open_backend(f"django-cache://{make_alias(kind)}")
    assert not backend.capabilities.chords
    assert not backend.capabilities.graphs
    with pytest.raises(NotImplementedError, match=r"django-cache://.*set result_backend to a store"):
        backend.open_chord("c", 1)


@pytest.mark.parametrize("kind", ["db.DatabaseCache", "redis.RedisCache", "memcached.PyMemcacheCache"])
def test_caches_that_are_shared_join_chords(make_alias: Callable[[str], str], kind: str) -> None:
    assert open_backend(f"django-cache://{make_alias(kind)}").capabilities.chords


def test_nothing_is_written_under_a_lock_that_may_be_lost(
    make_alias: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from celeriac.backend.kv import django_cache

    driver = django_cache.open_driver(f"django-cache://{make_alias('locmem.LocMemCache')}", BackendOptions())
    with monkeypatch.context() as patch:
        patch.setattr(django_cache, "_LOCK_SURE", -1.0)
        patch.setattr(django_cache, "_LOCK_TIMEOUT", 0)
        with driver.errors(), pytest.raises(OperationalError, match="too long to be sure of it"):
            driver.write(Entry("k", b"v", None))
    assert driver.read(["k"]) == {}
    assert driver.write(Entry("k", b"v", None))
    assert driver.read(["k"])["k"].data == b"v"
