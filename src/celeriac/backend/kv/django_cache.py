"""Results in a cache of Django, in the form of django-celery-results: ``django-cache``.

A value is the mapping of a result itself; the cache serializes it.  Clients that wait look again.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pickle import PicklingError
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.base import BackendOptions, ResultRecord
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package
from celeriac.exceptions import (
    BackendGetMetaError,
    BackendStoreError,
    CeleryError,
    ImproperlyConfigured,
    OperationalError,
)
from celeriac.serialization.failures import encode_exception
from celeriac.utils.per_process import PerProcess

try:
    from django.core.cache import InvalidCacheBackendError, caches
    from django.core.cache.backends.dummy import DummyCache
    from django.core.cache.backends.filebased import FileBasedCache
    from django.core.cache.backends.locmem import LocMemCache
    from django.core.exceptions import ImproperlyConfigured as DjangoImproperlyConfigured
    from django.utils.module_loading import import_string
except ImportError as exc:
    raise missing_package("Django", "django", "django") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.backend.kv.driver import Codec

#: A cache knows no conditional write but `add`: a key that is added first is the lock of another.
_LOCK_SUFFIX: Final = ".celeriac-lock"
#: Seconds after which the lock of a process that was killed is free again, and between two attempts.
_LOCK_TIMEOUT: Final = 5
_LOCK_PAUSE: Final = 0.002
#: Seconds for which a process may be sure to hold it still.
_LOCK_SURE: Final = 3.0
#: Caches of one process, or whose `add` takes several steps.
_UNSHARED: Final = (DummyCache, LocMemCache, FileBasedCache)


class MetaCodec:
    """Results as mappings."""

    def encode(self, record: ResultRecord) -> dict[str, Any]:
        """The mapping of a record."""
        meta: dict[str, Any] = {
            "status": record.status,
            "result": _picklable(record.result),
            "traceback": record.traceback,
            "children": record.children,
            "date_done": record.date_done,
        }
        if record.group_id is not None:
            meta["group_id"] = record.group_id
        if record.parent_id is not None:
            meta["parent_id"] = record.parent_id
        return {**meta, **(record.extra or {}), "task_id": record.task_id}

    def decode(self, data: Any, task_id: str) -> ResultRecord:
        """The record of a mapping."""
        if not isinstance(data, dict) or not isinstance(data.get("status"), str):
            raise BackendGetMetaError(
                f"what is stored for task {task_id} cannot be read: a result is a mapping with a status, "
                f"not {data!r:.200}",
                task_id=task_id,
            )
        meta = dict(data)
        known = {name: meta.pop(name, None) for name in _FIELDS}
        meta.pop("task_id", None)
        return ResultRecord(task_id, **known, extra=meta or None)

    def encode_group(self, result: Any, group_id: str) -> dict[str, Any]:
        """The mapping of a saved group."""
        return {"result": result}

    def decode_group(self, data: Any, group_id: str) -> Any | None:
        """The tuple form of a saved group."""
        return _lists(data.get("result")) if isinstance(data, dict) else None


def _picklable(result: Any) -> Any:
    """Exceptions that cannot be pickled are replaced by one that can."""
    return encode_exception(result, "pickle") if isinstance(result, BaseException) else result


_FIELDS: Final = ("status", "result", "traceback", "children", "date_done", "group_id", "parent_id")


def _lists(value: Any) -> Any:
    """The same with lists in place of tuples, which the cache keeps."""
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


class _Cache:
    """A cache of our own, which Django does not close, and what guards it: its client may be for one thread."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache
        self.lock = threading.Lock()


class DjangoCacheDriver(Driver):
    """A cache.

    Args:
        alias: Its name in ``CACHES``.
        timeout: Seconds for one operation.
    """

    name = "django-cache"
    longest_pause = 0.2

    def __init__(self, alias: str, timeout: float) -> None:
        self.url = f"django-cache://{alias}"
        self._alias = alias
        self._timeout = timeout
        self._shared = PerProcess(self._open, lambda shared: shared.cache.close())

    def codec(self, options: BackendOptions) -> Codec:
        if options.compression:
            raise ImproperlyConfigured(
                f"result_compression is {options.compression!r}, but a cache of Django keeps results as "
                f"they are; unset it"
            )
        return MetaCodec()

    def joins_chords(self) -> bool:
        try:
            kind = import_string(caches.settings[self._alias]["BACKEND"])
        except (DjangoImproperlyConfigured, ImportError, KeyError):
            # Whoever uses it is told what is wrong.
            return True
        return not issubclass(kind, _UNSHARED)

    def _open(self) -> _Cache:
        return _Cache(caches.create_connection(self._alias))

    @contextmanager
    def _cache(self) -> Iterator[Any]:
        """The cache, lent to one thread at a time."""
        shared = self._shared.get()
        with shared.lock:
            yield shared.cache

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        with self._cache() as cache:
            return {key: Stored(value, value) for key, value in cache.get_many(list(keys)).items()}

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        with self._cache() as cache:
            if expecting is ABSENT:
                return bool(cache.add(entry.key, entry.data, entry.seconds))
            with self._locked(cache, entry.key) as check:
                if expecting is not ANY and repr(cache.get(entry.key)) != repr(expecting):
                    return False
                check()
                cache.set(entry.key, entry.data, entry.seconds)
            return True

    @contextmanager
    def _locked(self, cache: Any, key: str) -> Iterator[Callable[[], None]]:
        """Hold the lock of a key; yields what raises when it may have been lost."""
        lock = key + _LOCK_SUFFIX
        deadline = time.monotonic() + max(self._timeout, _LOCK_TIMEOUT)
        asked_at = time.monotonic()
        while not cache.add(lock, 1, _LOCK_TIMEOUT):
            if time.monotonic() > deadline:
                raise OperationalError(f"the lock {lock!r} in {self.url} was not free in time")
            time.sleep(_LOCK_PAUSE)
            asked_at = time.monotonic()

        def check() -> None:
            if time.monotonic() - asked_at > _LOCK_SURE:
                raise OperationalError(f"the lock {lock!r} in {self.url} was held for too long to be sure of it")

        try:
            yield check
        finally:
            # Another process may have it by now.
            if time.monotonic() - asked_at <= _LOCK_SURE:
                cache.delete(lock)

    def delete(self, keys: Sequence[str]) -> None:
        with self._cache() as cache:
            cache.delete_many(list(keys))

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (CeleryError, BackendGetMetaError):
            raise
        except PicklingError as exc:
            raise BackendStoreError(f"{self.url} cannot keep a result: {exc}") from exc
        except InvalidCacheBackendError as exc:
            raise ImproperlyConfigured(f"cache_backend is {self._alias!r}: {exc}") from exc
        except DjangoImproperlyConfigured as exc:
            raise ImproperlyConfigured(f"results in {self.url} need Django's settings: {exc}") from exc
        except Exception as exc:
            # Whatever the client of the cache raises: Django does not translate it.
            raise OperationalError(f"{self.url} failed: {type(exc).__name__}: {exc}") from exc

    def close(self) -> None:
        self._shared.close()


def open_driver(url: str, options: BackendOptions) -> DjangoCacheDriver:
    """``django-cache`` with the setting ``cache_backend``, or ``django-cache://alias``."""
    alias = url.partition("://")[2].strip("/") or options.settings.get("cache_backend") or "default"
    return DjangoCacheDriver(str(alias), options.timeout)
