"""Results in Elasticsearch, in Celery's documents, through its own client.

The index is made with the first document.  It deletes nothing by itself; the daily clean-up does, by the time that each
document says.  Clients that wait look again: documents are read by their ids, which needs no refresh of the index.
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.backend.kv.documents import fields_of, value_of
from celeriac.backend.kv.driver import ABSENT, ANY, Driver, Entry, Stored, missing_package, pages
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from celeriac.utils.per_process import PerProcess
from celeriac.utils.url import parse_url, redact

try:
    import elasticsearch
    from elastic_transport import TransportError
except ImportError as exc:
    raise missing_package("Elasticsearch", "elasticsearch", "elasticsearch") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from celeriac.backend.base import BackendOptions

_DEFAULT_INDEX: Final = "celery"
_DOCUMENTS_AT_ONCE: Final = 500
_DEFAULT_RETRIES: Final = 3
#: The field of a value.
_RESULT: Final = "result"
_CONFLICT: Final = 409
#: Statuses by which a document is refused, too large or of other types than those before.
_UNKEPT: Final = frozenset({400, 413})


class ElasticsearchDriver(Driver):
    """Documents of an index.

    Args:
        connect: Makes a client.
        index: Its name.
        as_text: Results are kept as text, not as objects.
        url: Its URL, masked.
    """

    name = "elasticsearch"
    expires = False
    longest_pause = 0.5

    def __init__(self, connect: Callable[[], Any], index: str, as_text: bool, url: str) -> None:
        self.url = url
        self._index, self._as_text = index, as_text
        self._client: PerProcess[Any] = PerProcess(connect, lambda client: client.close())

    def read(self, keys: Sequence[str]) -> dict[str, Stored]:
        found = {}
        for page in pages(keys, _DOCUMENTS_AT_ONCE):
            for each in self._client.get().mget(index=self._index, ids=list(page))["docs"]:
                # Without the index, each document is an error.
                if each.get("found"):
                    version = (each["_seq_no"], each["_primary_term"])
                    found[each["_id"]] = Stored(_data(each["_source"]), version)
        return found

    def write(self, entry: Entry, expecting: Any = ANY) -> bool:
        client, place = self._client.get(), {"index": self._index, "id": entry.key}
        try:
            if expecting is ABSENT:
                client.create(**place, document=self._document(entry))
            elif expecting is ANY:
                client.index(**place, document=self._document(entry))
            else:
                number, term = expecting
                client.index(**place, document=self._document(entry), if_seq_no=number, if_primary_term=term)
        except elasticsearch.ConflictError:
            return False
        return True

    def write_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            self._bulk([each for entry in page for each in ({"index": {"_id": entry.key}}, self._document(entry))])

    def create_many(self, entries: Sequence[Entry]) -> None:
        for page in pages(entries, _DOCUMENTS_AT_ONCE):
            self._bulk([each for entry in page for each in ({"create": {"_id": entry.key}}, self._document(entry))])

    def delete(self, keys: Sequence[str]) -> None:
        for page in pages(list(dict.fromkeys(keys)), _DOCUMENTS_AT_ONCE):
            self._bulk([{"delete": {"_id": key}} for key in page])

    def _bulk(self, operations: Sequence[Any]) -> None:
        answer = self._client.get().bulk(index=self._index, operations=operations)
        if not answer["errors"]:
            return
        for item in answer["items"]:
            ((action, done),) = item.items()
            is_there = action == "create" and done["status"] == _CONFLICT
            if "error" in done and not is_there:
                kind = BackendStoreError if done["status"] in _UNKEPT else OperationalError
                raise kind(f"{self.url} did not take {done['_id']}: {done['error']}")

    def sweep(self, lifetimes: Mapping[str, float]) -> int:
        answer = self._client.get().delete_by_query(
            index=self._index,
            query={"range": {"expires_at": {"lte": datetime.now(UTC).isoformat()}}},
            # One that was changed meanwhile is kept.
            conflicts="proceed",
            ignore_unavailable=True,
        )
        return int(answer["deleted"])

    def _document(self, entry: Entry) -> dict[str, Any]:
        now = datetime.now(UTC)
        value = fields_of(_RESULT, entry.data) if self._as_text else _object(entry.data)
        document = {**value, "@timestamp": f"{now.isoformat(timespec='milliseconds')[:-6]}Z"}
        if entry.seconds is not None:
            document["expires_at"] = (now + timedelta(seconds=entry.seconds)).isoformat()
        return document

    @contextmanager
    def errors(self) -> Iterator[None]:
        try:
            yield
        except (elasticsearch.AuthenticationException, elasticsearch.AuthorizationException) as exc:
            raise SessionRefused(f"{self.url} refused: {exc}") from exc
        except elasticsearch.ApiError as exc:
            kind = BackendStoreError if exc.status_code in _UNKEPT else OperationalError
            raise kind(f"{self.url} failed: {exc}") from exc
        except TransportError as exc:
            raise OperationalError(f"{self.url} cannot be reached: {exc}") from exc

    def close(self) -> None:
        self._client.close()


def _object(data: bytes) -> dict[str, Any]:
    """A value as an object whose result is text, as Celery keeps it; what is no object, apart."""
    try:
        meta = json.loads(data)
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        # Text and objects cannot share a field.
        return {f"{_RESULT}_base64": b64encode(data).decode()}
    return {_RESULT: {**meta, "result": json.dumps(meta.get("result"))}}


def _data(source: Any) -> bytes:
    meta = source.get(_RESULT)
    if not isinstance(meta, dict):
        return value_of(_RESULT, source)
    result = meta.get("result")
    return json.dumps({**meta, "result": json.loads(result) if isinstance(result, str) else result}).encode()


def open_driver(url: str, options: BackendOptions) -> ElasticsearchDriver:
    """``elasticsearch://user:password@host:9200/index``, or ``elasticsearch+https://``; and the settings."""
    parts, settings = parse_url(url if "://" in url else f"{url}://"), options.settings
    if parts.path.count("/") > 1:
        raise ImproperlyConfigured(f"result_backend {redact(url)!r} names more than an index and a type of documents")
    protocol = "https" if parts.scheme.endswith("https") else "http"
    retries = settings.get("elasticsearch_max_retries")
    arguments: dict[str, Any] = {
        "hosts": [f"{protocol}://{parts.host or 'localhost'}:{parts.port or 9200}"],
        "request_timeout": min(settings.get("elasticsearch_timeout") or options.timeout, options.timeout),
        "max_retries": _DEFAULT_RETRIES if retries is None else retries,
        "retry_on_timeout": bool(settings.get("elasticsearch_retry_on_timeout")),
    }
    if parts.username is not None:
        arguments["basic_auth"] = (parts.username, parts.password or "")
    as_text = settings.get("elasticsearch_save_meta_as_text")
    # Types of documents, which followed the index, are no more.
    index = parts.path.partition("/")[0] or _DEFAULT_INDEX
    return ElasticsearchDriver(
        lambda: elasticsearch.Elasticsearch(**arguments), index, as_text is None or bool(as_text), redact(url)
    )
