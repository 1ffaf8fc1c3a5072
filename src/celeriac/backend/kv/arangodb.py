"""Results in ArangoDB, in Celery's documents, through python-arango.

The collection is made when it is missing, with an index by which the server deletes what has expired, within a minute.
Clients that wait look again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.documents import document_of, value_of
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url, redact

try:
    from arango import exceptions as errors
    from arango.client import ArangoClient
    from arango.http import DefaultHTTPClient
    from requests import RequestException
except ImportError as exc:
    raise missing_package("ArangoDB", "python-arango", "arangodb") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

_DOCUMENTS_AT_ONCE: Final = 1000
#: Numbers of the server's errors. https://docs.arangodb.com/stable/develop/error-codes/
_CONFLICT, _NOT_FOUND, _DUPLICATE_NAME, _DUPLICATE = 1200, 1202, 1207, 1210
#: Document too large; illegal key.
_UNKEPT: Final = frozenset({1216, 1221})
#: How often to write again what others change at the same time.
_ATTEMPTS: Final = 20


class ArangoDBDriver(Driver):
    """Documents of a collection.

    Args:
        connect: Makes a client.
        place: ``database``, ``collection``, ``username`` and ``password``.
        url: Its URL, masked.
    """

    name = "arangodb"

    def __init__(self, connect: Callable[[], Any], place: Mapping[str, str], url: str) -> None:
        self.url = url
        self._place = dict(place)
        self._client: PerProcess[Any] = PerProcess(connect, lambda client: client.close())
        self._is_made = False

    @property
    def _collection(self) -> Any:
        place = self._place
        database = self._client.get().db(place["database"], place["username"], place["password"])
        collection = database.collection(place["collection"])
        if not self._is_made:
            try:
                database.create_collection(place["collection"])
            except errors.CollectionCreateError as error:
                if error.error_code != _DUPLICATE_NAME:
                    raise
            # Making an index that is there does nothing.
            collection.add_index({"type": "ttl", "fields": ["expires_at"], "expireAfter": 0})
            self._is_made = True
        return collection

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found = {}
        for page in pages(keys, _DOCUMENTS_AT_ONCE):
            for document in self._collection.get_many(list(page)):
                found[document["_key"]] = Stored(value_of("task", document), document["_rev"])
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        if expecting is ANY:
            self.write_many([entry])
            return True
        document = document_of(entry, "_key", "task")
        try:
            if expecting is ABSENT:
                self._collection.insert(document, silent=True)
            else:
                self._collection.replace({**document, "_rev": expecting}, check_rev=True, silent=True)
        except errors.DocumentRevisionError:
            return False
        except errors.ArangoServerError as error:
            if error.error_code in (_CONFLICT, _NOT_FOUND, _DUPLICATE):
                return False
            raise
        return True

    def write_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            left = [document_of(entry, "_key", "task") for entry in page]
            for _ in range(_ATTEMPTS):
                # Two that overwrite at the same time are in conflict.
                left = self._overwrite(left)
                if not left:
                    break
            else:
                raise OperationalError(
                    f"{self.url} did not keep {len(left)} results, which others changed {_ATTEMPTS} times in a row"
                )

    def _overwrite(self, documents: Sequence[Any]) -> list[Any]:
        """Keep documents; returns those in conflict."""
        answers = self._collection.insert_many(documents, overwrite_mode="replace")
        left = []
        for document, answer in zip(documents, answers, strict=True):
            if isinstance(answer, errors.ArangoServerError):
                if answer.error_code != _CONFLICT:
                    raise answer
                left.append(document)
        return left

    def create_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            for answer in self._collection.insert_many([document_of(entry, "_key", "task") for entry in page]):
                if isinstance(answer, errors.ArangoServerError) and answer.error_code not in (_CONFLICT, _DUPLICATE):
                    raise answer

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(list(dict.fromkeys(keys)), _DOCUMENTS_AT_ONCE):
            for answer in self._collection.delete_many([{"_key": key} for key in page], check_rev=False):
                if isinstance(answer, errors.ArangoServerError) and answer.error_code != _NOT_FOUND:
                    raise answer

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.ArangoServerError as exc:
            if exc.http_code in (401, 403):
                raise SessionRefused(f"{self.url} refused: {exc}") from exc
            kind = BackendStoreError if exc.error_code in _UNKEPT else OperationalError
            raise kind(f"{self.url} failed: {exc}") from exc
        except (errors.ArangoClientError, RequestException, ConnectionError) as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def open_driver(url: str, options: BackendOptions) -> ArangoDBDriver:
    """``arangodb://user:password@host:8529/database/collection``; what it leaves out is in the settings."""
    parts = parse_url(url if "://" in url else f"{url}://")
    settings = dict(options.settings.get("arangodb_backend_settings") or {})
    database, _, collection = parts.path.strip("/").partition("/")
    if "/" in collection:
        raise ImproperlyConfigured(f"result_backend {redact(url)!r} names more than a database and a collection")
    host = parts.host or settings.get("host") or "localhost"
    port = parts.port or settings.get("port") or 8529
    place = {
        "database": database or settings.get("database") or "celery",
        "collection": collection or settings.get("collection") or "celery",
        "username": parts.username or settings.get("username") or "root",
        "password": parts.password or settings.get("password") or "",
    }
    address = f"{settings.get('http_protocol') or 'http'}://{host}:{port}"
    verify = settings.get("verify")
    timeout = (min(options.connect_timeout, options.timeout), options.timeout)

    def connect() -> Any:
        # A worker repeats what failed by itself, and a deadline is a deadline.
        http: Any = DefaultHTTPClient(request_timeout=timeout[1], retry_attempts=0)
        client = ArangoClient(
            address, resolver_max_tries=1, http_client=http, verify_override=True if verify is None else verify
        )
        # Of each request; that of the pools of connections above is one number.
        http.request_timeout = timeout
        return client

    return ArangoDBDriver(connect, place, redact(url))
