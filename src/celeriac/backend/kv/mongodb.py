"""Results in MongoDB, in Celery's collections, through pymongo.

Clients that wait look again. The daily clean-up deletes what has expired.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from celeriac.backend.keys import GROUP_PREFIX, OWN_PREFIX, TASK_PREFIX, split_key
from celeriac.backend.kv.columns import DocumentCodec
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import redact

try:
    import pymongo
    from bson.errors import BSONError
    from pymongo import errors
except ImportError as exc:
    raise missing_package("MongoDB", "pymongo", "mongodb") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions
    from celeriac.backend.kv.driver import Codec

_DEFAULT_DATABASE: Final = "celery"
_IDS_AT_ONCE: Final = 1000
#: Where values are kept that Celery does not know: documents with ``data`` and ``expires_at``.
_OWN_COLLECTION: Final = "celeriac_values"
#: What tells one document from another that is put in its place.
_IDENTITY: Final = ("_id", "status", "result", "date_done")
_DUPLICATE_KEY: Final = 11000
#: Unauthorized, AuthenticationFailed.
_REFUSALS: Final = frozenset({13, 18})
#: Settings of ours; the others of ``mongodb_backend_settings`` are arguments of the client.
_PLACE_SETTINGS: Final = frozenset({"host", "port", "mongo_host", "user", "password"})
_OWN_SETTINGS: Final = _PLACE_SETTINGS | {"database", "taskmeta_collection", "groupmeta_collection", "options"}


class MongoDBDriver(Driver):
    """Two collections of a database, and one of our own.

    Args:
        connect: Makes a client.
        database: Its name.
        collections: Name of the collection of each prefix of keys.
        url: Its URL, masked.
    """

    name = "mongodb"
    expires = False
    longest_pause = 0.5

    def __init__(self, connect: Callable[[], Any], database: str, collections: Mapping[str, str], url: str) -> None:
        self.url = url
        self._database, self._collections = database, {**collections, OWN_PREFIX: _OWN_COLLECTION}
        self._client: PerProcess[Any] = PerProcess(connect, lambda client: client.close())
        self._indexed = False

    def codec(self, options: BackendOptions) -> Codec:
        return DocumentCodec(options)

    def _collection(self, prefix: str) -> Any:
        return self._client.get()[self._database][self._collections[prefix]]

    def _place(self, entry: Entry) -> tuple[Any, dict[str, Any]]:
        """The collection and the document of something."""
        prefix, document = _document(entry)
        return self._collection(prefix), document

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        by_prefix: dict[str, dict[str, str]] = {}
        for key in keys:
            prefix, id_ = split_key(key)
            by_prefix.setdefault(prefix, {})[id_] = key
        for prefix, ids in by_prefix.items():
            for page in pages(list(ids), _IDS_AT_ONCE):
                for document in self._collection(prefix).find({"_id": {"$in": list(page)}}):
                    data = bytes(document["data"]) if prefix == OWN_PREFIX else document
                    found[ids[document["_id"]]] = Stored(data, data)
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        self._make_indexes()
        collection, document = self._place(entry)
        id_ = document["_id"]
        if expecting is ANY:
            self._replace(collection, id_, document)
            return True
        if expecting is ABSENT:
            try:
                collection.insert_one(document)
            except errors.DuplicateKeyError:
                return False
            return True
        if isinstance(expecting, bytes):
            before = {"_id": id_, "data": expecting}
        else:
            before = {name: expecting.get(name) for name in _IDENTITY}
        return bool(collection.replace_one(before, document).matched_count)

    def _replace(self, collection: Any, id_: str, document: dict[str, Any]) -> None:
        try:
            collection.replace_one({"_id": id_}, document, upsert=True)
        except errors.DuplicateKeyError:
            # Two that found nothing there and insert: the one that came second replaces.
            collection.replace_one({"_id": id_}, document, upsert=True)

    def write_many(self, entries: Sequence[Entry]) -> None:
        if len(entries) == 1:
            self.write(entries[0])
            return
        self._make_indexes()
        for page in pages(entries, _IDS_AT_ONCE):
            by_prefix: dict[str, list[Any]] = {}
            for entry in page:
                prefix, document = _document(entry)
                change = pymongo.ReplaceOne({"_id": document["_id"]}, document, upsert=True)
                by_prefix.setdefault(prefix, []).append(change)
            for prefix, changes in by_prefix.items():
                self._collection(prefix).bulk_write(changes, ordered=False)

    def create_many(self, entries: Sequence[Entry]) -> None:
        if len(entries) == 1:
            self.write(entries[0], ABSENT)
            return
        self._make_indexes()
        for page in pages(entries, _IDS_AT_ONCE):
            by_prefix: dict[str, list[Any]] = {}
            for entry in page:
                prefix, document = _document(entry)
                by_prefix.setdefault(prefix, []).append(document)
            for prefix, documents in by_prefix.items():
                self._insert(self._collection(prefix), documents)

    def _insert(self, collection: Any, documents: Sequence[dict[str, Any]]) -> None:
        """Insert those that are not there."""
        try:
            collection.insert_many(documents, ordered=False)
        except errors.BulkWriteError as exc:
            if any(error.get("code") != _DUPLICATE_KEY for error in exc.details["writeErrors"]):
                raise

    def _make_indexes(self) -> None:
        """For the clean-up; making an index that is there does nothing."""
        if not self._indexed:
            for prefix in self._collections:
                self._collection(prefix).create_index(_expiry_field(prefix))
            self._indexed = True

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(keys, _IDS_AT_ONCE):
            by_prefix: dict[str, list[str]] = {}
            for key in page:
                prefix, id_ = split_key(key)
                by_prefix.setdefault(prefix, []).append(id_)
            for prefix, ids in by_prefix.items():
                self._collection(prefix).delete_many({"_id": {"$in": ids}})

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        by_collection = {split_key(prefix)[0]: seconds for prefix, seconds in lifetimes.items()}
        now, removed = datetime.now(UTC), 0
        # Values of our own know when they expire.
        for prefix, lifetime in {**by_collection, OWN_PREFIX: 0.0}.items():
            old = {_expiry_field(prefix): {"$lte": now - timedelta(seconds=lifetime)}}
            removed += self._collection(prefix).delete_many(old).deleted_count
        return removed

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.DocumentTooLarge as exc:
            raise BackendStoreError(f"{self.url} keeps documents of up to 16 MB: {exc}") from exc
        except BSONError as exc:
            raise BackendStoreError(f"{self.url} cannot keep a result: {exc}") from exc
        except errors.OperationFailure as exc:
            kind = SessionRefused if exc.code in _REFUSALS else OperationalError
            raise kind(f"{self.url} refused: {exc}") from exc
        except errors.PyMongoError as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def _document(entry: Entry) -> tuple[str, dict[str, Any]]:
    """What something is kept as, and the prefix of its key."""
    prefix, id_ = split_key(entry.key)
    if prefix != OWN_PREFIX:
        return prefix, {"_id": id_, **entry.data}
    expires_at = None if entry.seconds is None else datetime.now(UTC) + timedelta(seconds=entry.seconds)
    return prefix, {"_id": id_, "data": entry.data, "expires_at": expires_at}


def _expiry_field(prefix: str) -> str:
    return "expires_at" if prefix == OWN_PREFIX else "date_done"


def open_driver(url: str, options: BackendOptions) -> MongoDBDriver:
    """``mongodb://user:password@host:27017/database?option=value``, ``mongodb+srv://``; and the settings."""
    settings = dict(options.settings.get("mongodb_backend_settings") or {})
    uri = _uri(url, settings)
    milliseconds = int(options.timeout * 1000)
    arguments: dict[str, Any] = {
        "serverSelectionTimeoutMS": int(min(options.connect_timeout, options.timeout) * 1000),
        "connectTimeoutMS": int(options.connect_timeout * 1000),
        "socketTimeoutMS": milliseconds,
        "timeoutMS": milliseconds,
        **(settings.get("options") or {}),
        **{name: value for name, value in settings.items() if name not in _OWN_SETTINGS},
    }
    # Taken apart by hand: there may be several hosts.
    path = uri.partition("://")[2].partition("?")[0].partition("/")[2]
    database = settings.get("database") or path or _DEFAULT_DATABASE
    collections = {
        TASK_PREFIX: settings.get("taskmeta_collection") or "celery_taskmeta",
        GROUP_PREFIX: settings.get("groupmeta_collection") or "celery_groupmeta",
    }
    return MongoDBDriver(lambda: _client(uri, arguments), database, collections, redact(uri))


def _client(uri: str, arguments: Mapping[str, Any]) -> Any:
    try:
        return pymongo.MongoClient(uri, **arguments)
    except (errors.ConfigurationError, errors.InvalidURI) as exc:
        raise ImproperlyConfigured(f"result_backend {redact(uri)!r} cannot be used: {exc}") from exc


def _uri(url: str, settings: Mapping[str, Any]) -> str:
    """The URL with what settings say where it says nothing."""
    scheme, separator, rest = url.partition("://")
    given = settings.get("mongo_host") or settings.get("host")
    if (separator and rest.strip("/")) or not given:
        return url if rest.strip("/") else f"{scheme}://localhost"
    if isinstance(given, str) and "://" in given:
        return given
    hosts = given if isinstance(given, str) else ",".join(given)
    if settings.get("port") and "," not in hosts and ":" not in hosts:
        hosts = f"{hosts}:{settings['port']}"
    user, password = settings.get("user"), settings.get("password")
    login = f"{_quoted(user)}:{_quoted(password or '')}@" if user else ""
    return f"{scheme}://{login}{hosts}"


def _quoted(text: str) -> str:
    return quote(str(text), safe="")
