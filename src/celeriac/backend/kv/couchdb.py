"""Results in CouchDB, in Celery's documents, through pycouchdb.

The database is made when it is missing.  It deletes nothing by itself; the daily clean-up does, by the time that each
document says.  Clients that wait look again.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from celeriac.backend.kv.documents import document_of, value_of
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url, redact

try:
    from pycouchdb import exceptions as errors
    from pycouchdb.client import Database, Server
    from requests import RequestException
except ImportError as exc:
    raise missing_package("CouchDB", "pycouchdb", "couchdb") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

_DEFAULT_DATABASE: Final = "celery"
_DOCUMENTS_AT_ONCE: Final = 500
#: How often to write again what others change at the same time.
_ATTEMPTS: Final = 20
_REFUSALS: Final = frozenset({"unauthorized", "forbidden"})
_TOO_LARGE: Final = frozenset({"document_too_large", "too_large"})


class CouchDBDriver(Driver):
    """Documents of a database.

    Args:
        connect: Makes a client of the server.
        database: Its name.
        url: Its URL, masked.
    """

    name = "couchdb"
    expires = False

    def __init__(self, connect: Callable[[], Any], database: str, url: str) -> None:
        self.url = url
        self._database_name = database
        # The documents are asked for by requests that name them in their body, so that any key will do.
        self._database: PerProcess[Any] = PerProcess(lambda: self._open(connect()), _close)

    def _open(self, server: Any) -> Any:
        resource = server.resource(self._database_name)
        try:
            # Not HEAD, whose refusals say no reason.
            resource.get()
        except errors.NotFound:
            try:
                resource.put()
            except errors.Conflict:
                # Another process was faster.
                pass
        return Database(resource, self._database_name)

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        return {
            key: Stored(value_of("value", document), document["_rev"])
            for key, document in self._documents(keys).items()
        }

    def _documents(self, keys: Sequence[str]) -> dict[str, Any]:
        found = {}
        for page in pages(keys, _DOCUMENTS_AT_ONCE):
            for row in self._database.get().all(keys=list(page)):
                # Of those that were deleted, the row has no document.
                if row.get("doc"):
                    found[row["id"]] = row["doc"]
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        if expecting is ANY:
            self.write_many([entry])
            return True
        document = document_of(entry, "_id", "value")
        return self._save([document if expecting is ABSENT else {**document, "_rev": expecting}])

    def write_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            documents = [document_of(entry, "_id", "value") for entry in page]
            for _ in range(_ATTEMPTS):
                if self._save(documents):
                    break
                # Who overwrites has to name what is there.
                there = self._documents([entry.key for entry in page])
                documents = [
                    {
                        **document_of(entry, "_id", "value"),
                        **({"_rev": there[entry.key]["_rev"]} if entry.key in there else {}),
                    }
                    for entry in page
                ]
            else:
                raise OperationalError(
                    f"{self.url} did not keep {len(page)} results, which others changed {_ATTEMPTS} times in a row"
                )

    def create_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            self._save([document_of(entry, "_id", "value") for entry in page])

    def _save(self, documents: Sequence[Any]) -> bool:
        """Keep documents; False if something else is there for one of them, the others are kept."""
        try:
            self._database.get().save_bulk(documents, transaction=False)
        except errors.Conflict:
            return False
        return True

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(list(dict.fromkeys(keys)), _DOCUMENTS_AT_ONCE):
            for _ in range(_ATTEMPTS):
                there = self._documents(page)
                if self._delete_documents([{"_id": key, "_rev": document["_rev"]} for key, document in there.items()]):
                    break

    def _delete_documents(self, documents: Sequence[Any]) -> bool:
        return not documents or self._save([{**document, "_deleted": True} for document in documents])

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        return sum(self._sweep_prefix(prefix) for prefix in lifetimes)

    def _sweep_prefix(self, prefix: str) -> int:
        removed, start = 0, prefix
        while True:
            query = {
                "selector": {"_id": {"$gt": start, "$lt": prefix + "\uffff"}, "expires_at": {"$lte": time.time()}},
                "fields": ["_id", "_rev"],
                "limit": _DOCUMENTS_AT_ONCE,
            }
            _, answer = self._database.get().resource.post("_find", data=json.dumps(query).encode())
            old = answer["docs"]
            if not old:
                return removed
            if self._delete_documents(old):
                removed += len(old)
            # One that was changed meanwhile is kept, and not asked for again.
            start = max(document["_id"] for document in old)

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except errors.AuthenticationFailed as exc:
            raise SessionRefused(f"{self.url} refused the user name or the password") from exc
        except errors.ApiError as exc:
            answer = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else {}
            if answer.get("error") in _REFUSALS:
                raise SessionRefused(f"{self.url} refused: {answer.get('reason')}") from exc
            if answer.get("error") in _TOO_LARGE:
                raise BackendStoreError(f"{self.url} did not keep a result: {answer.get('reason')}") from exc
            raise OperationalError(f"{self.url} failed: {exc}") from exc
        except (errors.Error, RequestException, ValueError) as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._database.close()


def _close(database: Any) -> None:
    database.resource.session.close()


def open_driver(url: str, options: BackendOptions) -> CouchDBDriver:
    """``couchdb://user:password@host:5984/database``, or ``couchdb+https://``."""
    parts = parse_url(url if "://" in url else f"{url}://")
    login = ""
    if parts.username is not None:
        login = f"{quote(parts.username, safe='')}:{quote(parts.password or '', safe='')}@"
    protocol = "https" if parts.scheme.endswith("https") else "http"
    server = f"{protocol}://{login}{parts.host or 'localhost'}:{parts.port or 5984}/"
    # Of requests, which takes one to connect and one to read.
    timeout: Any = (min(options.connect_timeout, options.timeout), options.timeout)

    def connect() -> Any:
        return Server(server, verify=True, timeout=timeout)

    return CouchDBDriver(connect, parts.path.strip("/") or _DEFAULT_DATABASE, redact(url))
