"""Results in Couchbase, as documents of a bucket, through its own client.

The server deletes what has expired.  Clients that wait look again.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.documents import fields_of, value_of
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url, redact

try:
    from couchbase import exceptions as errors
    from couchbase.auth import PasswordAuthenticator
    from couchbase.cluster import Cluster
    from couchbase.options import ClusterOptions, ClusterTimeoutOptions
except ImportError as exc:
    raise missing_package("Couchbase", "couchbase", "couchbase") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.backend.base import BackendOptions

_DEFAULT_BUCKET: Final = "default"
_DOCUMENTS_AT_ONCE: Final = 500
#: Bytes of the largest document.
_LARGEST: Final = 20 << 20
#: The management port, which Celery's URLs name; documents are at another one, which the client knows.
_MANAGEMENT_PORT: Final = 8091


class CouchbaseDriver(Driver):
    """Documents of the default collection of a bucket.

    Args:
        connect: Opens the cluster, and gives its connection and the collection.
        url: Its URL, masked.
    """

    name = "couchbase"
    longest_pause = 0.5

    def __init__(self, connect: Callable[[], tuple[Any, Any]], url: str) -> None:
        self.url = url
        self._client: PerProcess[tuple[Any, Any]] = PerProcess(connect, lambda client: client[0].close())

    @property
    def _collection(self) -> Any:
        return self._client.get()[1]

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found = {}
        for page in pages(keys, _DOCUMENTS_AT_ONCE):
            answer = self._collection.get_multi(list(page))
            _check(answer, errors.DocumentNotFoundException)
            for key, result in answer.results.items():
                found[key] = Stored(_data(result.value), result.cas)
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        document, options = self._document(entry), _expiry(entry.seconds)
        try:
            if expecting is ABSENT:
                self._collection.insert(entry.key, document, **options)
            elif expecting is ANY:
                self._collection.upsert(entry.key, document, **options)
            else:
                self._collection.replace(entry.key, document, cas=expecting, **options)
        except (errors.DocumentExistsException, errors.DocumentNotFoundException, errors.CASMismatchException):
            return False
        return True

    def write_many(self, entries: Sequence[Entry]) -> None:
        by_expiry: dict[float | None, list[Entry]] = {}
        for entry in entries:
            by_expiry.setdefault(entry.seconds, []).append(entry)
        for seconds, some in by_expiry.items():
            for page in pages(some, _DOCUMENTS_AT_ONCE):
                documents = {entry.key: self._document(entry) for entry in page}
                _check(self._collection.upsert_multi(documents, **_expiry(seconds)))

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(list(dict.fromkeys(keys)), _DOCUMENTS_AT_ONCE):
            _check(self._collection.remove_multi(list(page)), errors.DocumentNotFoundException)

    def _document(self, entry: Entry) -> str | dict[str, str]:
        """Celery keeps text, which is a document too; what is no text is in a field."""
        if len(entry.data) > _LARGEST:
            raise BackendStoreError(
                f"{entry.key} has {len(entry.data):,} bytes, but {self.url} keeps documents of up to {_LARGEST:,}"
            )
        fields = fields_of("value", entry.data)
        return fields.get("value", fields)

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.AuthenticationException as exc:
            raise SessionRefused(f"{self.url} refused: {exc}") from exc
        except (errors.BucketNotFoundException, errors.BucketDoesNotExistException) as exc:
            raise SessionRefused(f"{self.url} has no such bucket: {exc}") from exc
        except errors.CouchbaseException as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def _data(document: Any) -> bytes:
    if isinstance(document, str):
        return document.encode()
    return value_of("value", document) if isinstance(document, dict) else b""


def _expiry(seconds: float | None) -> dict[str, timedelta]:
    # Less than a second would be for ever.
    return {} if seconds is None else {"expiry": timedelta(seconds=max(int(seconds), 1))}


def _check(answer: Any, *expected: type[Exception]) -> None:
    """Raise the first error of several operations."""
    for error in answer.exceptions.values():
        if not isinstance(error, expected):
            raise error


def open_driver(url: str, options: BackendOptions) -> CouchbaseDriver:
    """``couchbase://user:password@host/bucket``, or ``couchbases://``; what it leaves out is in the settings."""
    parts = parse_url(url if "://" in url else f"{url}://")
    settings = dict(options.settings.get("couchbase_backend_settings") or {})
    username = parts.username or settings.get("username")
    if not username:
        raise ImproperlyConfigured(
            f"result_backend {redact(url)!r} names no user: couchbase://user:password@host/bucket, or "
            "couchbase_backend_settings = {'username': ..., 'password': ...}"
        )
    host, port = parts.host or settings.get("host") or "localhost", parts.port or settings.get("port")
    place = f"{host}:{port}" if port and int(port) != _MANAGEMENT_PORT else str(host)
    bucket = parts.path.strip("/") or settings.get("bucket") or _DEFAULT_BUCKET
    password = parts.password or settings.get("password") or ""
    connect_timeout = timedelta(seconds=min(options.connect_timeout, options.timeout))

    def connect() -> tuple[Any, Any]:
        timeouts: Any = ClusterTimeoutOptions(
            bootstrap_timeout=connect_timeout,
            connect_timeout=connect_timeout,
            kv_timeout=timedelta(seconds=options.timeout),
        )
        arguments: Any = ClusterOptions(PasswordAuthenticator(username, password), timeout_options=timeouts)
        cluster = Cluster.connect(f"{parts.scheme}://{place}", arguments)
        return cluster, cluster.bucket(bucket).default_collection()

    return CouchbaseDriver(connect, redact(url))
