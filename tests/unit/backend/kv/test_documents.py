"""Stores of documents: where URLs and settings point to, what their documents look like, what refusals are called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from celeriac.backend import BackendOptions, ResultRecord, open_backend
from celeriac.backend.kv import arangodb, elasticsearch
from celeriac.backend.kv.couchbase import CouchbaseDriver
from celeriac.backend.kv.documents import fields_of, value_of
from celeriac.backend.kv.driver import ABSENT, Entry
from celeriac.exceptions import BackendStoreError, ImproperlyConfigured, OperationalError, SessionRefused
from tests.support.emulators.arangodb import ArangoDB
from tests.support.emulators.consul import Consul
from tests.support.emulators.cosmosdb import CosmosDB
from tests.support.emulators.couchbase import Collection
from tests.support.emulators.couchdb import CouchDB
from tests.support.emulators.elasticsearch import Elasticsearch
from tests.support.emulators.http import Answer, Emulator, Request, serve

if TYPE_CHECKING:
    from celeriac.backend import ResultBackend


@pytest.mark.parametrize(
    ("url", "module", "package", "extra"),
    [
        ("arangodb://host/db/collection", "arangodb", "arango", "arangodb"),
        ("cassandra://", "cassandra", "cassandra", "cassandra"),
        ("consul://host", "consul", "consul", "consul"),
        ("cosmosdbsql://:key@host", "cosmosdb", "azure.cosmos", "cosmosdbsql"),
        ("couchbase://user:password@host", "couchbase", "couchbase", "couchbase"),
        ("couchdb://host", "couchdb", "pycouchdb", "couchdb"),
        ("elasticsearch://host", "elasticsearch", "elasticsearch", "elasticsearch"),
    ],
)
def test_a_missing_package_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, package: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"celeriac.backend.kv.{module}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImproperlyConfigured, match=rf"pip install 'celeriac\[{extra}\]'"):
        open_backend(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("arangodb://user:secret@host/db/collection", "arangodb://user:**@host/db/collection"),
        ("consul://host:8500/path?one_client=1", "consul://host:8500/path?one_client=1"),
        ("cosmosdbsql://:c2VjcmV0@account.example", "cosmosdbsql://:**@account.example"),
        ("cosmosdbsql://:c2/jc+V0==@account.example:444", "cosmosdbsql://:**@account.example:444"),
        ("couchbase://user:secret@host:8091/bucket", "couchbase://user:**@host:8091/bucket"),
        ("couchdb://user:secret@host/db", "couchdb://user:**@host/db"),
        ("couchdb+https://user:secret@host/db", "couchdb+https://user:**@host/db"),
        ("elasticsearch://user:secret@host/index/type", "elasticsearch://user:**@host/index/type"),
        ("elasticsearch+https://host/index", "elasticsearch+https://host/index"),
        ("elasticsearch", "elasticsearch"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert open_backend(url).url == shown


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("arangodb://host/a/b/c", "names more than a database and a collection"),
        ("elasticsearch://host/a/b/c", "names more than an index and a type"),
        ("cosmosdbsql://account.example", "has no host or no key"),
        ("cosmosdbsql://:key@", "has no host or no key"),
        ("cosmosdbsql://:a@account.example", "the key is not one of the account's"),
        ("couchbase://host/bucket", "names no user"),
        ("consul://host?token=x", "unknown option 'token'; known is one_client"),
    ],
)
def test_what_cannot_be_used_is_named(url: str, message: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        open_backend(url)


@pytest.mark.parametrize(
    ("url", "settings", "place"),
    [
        ("arangodb", {}, {"database": "celery", "collection": "celery", "username": "root", "password": ""}),
        (
            "arangodb://",
            {"database": "d", "collection": "c", "username": "u", "password": "p"},
            {"database": "d", "collection": "c", "username": "u", "password": "p"},
        ),
        (
            "arangodb://me:secret@host/mine",
            {"database": "d", "collection": "c", "username": "u", "password": "p"},
            {"database": "mine", "collection": "c", "username": "me", "password": "secret"},
        ),
    ],
)
def test_settings_of_arangodb_complete_its_url(url: str, settings: Any, place: dict[str, str]) -> None:
    driver = arangodb.open_driver(url, BackendOptions(settings={"arangodb_backend_settings": settings}))
    assert driver._place == place


def test_chords_want_every_client_to_read_what_another_one_wrote() -> None:
    url = "cosmosdbsql://:c2VjcmV0@account.example"
    assert not open_backend(url).capabilities.chords
    strong = BackendOptions(settings={"cosmosdbsql_consistency_level": "Strong"})
    assert open_backend(url, strong).capabilities.chords


def test_database_and_container_of_cosmosdb_may_be_made_by_another_process_meanwhile() -> None:
    class Late(CosmosDB):
        """Others make what was not there after it was looked for."""

        def answer(self, request: Request) -> Answer:
            match request.method, request.path:
                case "GET", ["dbs", database] if database not in self.databases:
                    self.databases[database] = {}
                    return Answer(404, {"code": "NotFound"})
                case "GET", ["dbs", database, "colls", container] if container not in self.databases[database]:
                    self.databases[database][container] = {}
                    return Answer(404, {"code": "NotFound"})
            return super().answer(request)

    with serve(Late()) as port:
        backend = open_backend(f"cosmosdbsql+http://:a2V5@127.0.0.1:{port}", BackendOptions())
        backend.store_many([ResultRecord("t", "SUCCESS", 1)])
        assert backend.load_many(["t"])["t"].result == 1
        backend.close()


@pytest.mark.parametrize("attempts", [0, 2])
def test_cosmosdb_is_asked_again_as_often_as_is_set_when_it_is_busy(attempts: int) -> None:
    class Busy(CosmosDB):
        turned_away = 0

        def answer(self, request: Request) -> Answer:
            if "docs" not in request.path:
                return super().answer(request)
            self.turned_away += 1
            return Answer(429, {"code": "TooManyRequests"}, {"x-ms-retry-after-ms": "1"})

    busy, settings = Busy(), {"cosmosdbsql_max_retry_attempts": attempts}
    with serve(busy) as port:
        backend = open_backend(f"cosmosdbsql+http://:a2V5@127.0.0.1:{port}", BackendOptions(settings=settings))
        with pytest.raises(OperationalError, match="TooManyRequests"):
            backend.load_many(["t"])
        backend.close()
    assert busy.turned_away == attempts + 1


def test_couchbase_keeps_text_as_it_is_and_the_rest_in_a_field() -> None:
    collection = Collection()
    driver = CouchbaseDriver(lambda: (None, collection), "couchbase://there")
    for key, data in (("text", b"{}"), ("binary", b"\x80\xff")):
        assert driver.write(Entry(key, data, 60.0), ABSENT)
        assert driver.read([key])[key].data == data
    assert [collection.documents[key][0] for key in ("text", "binary")] == ["{}", {"value_base64": "gP8="}]
    with pytest.raises(BackendStoreError, match="keeps documents of up to 20,971,520"):
        driver.write(Entry("large", bytes(21 << 20), None))


def test_settings_of_couchbase_complete_its_url() -> None:
    settings = {"couchbase_backend_settings": {"host": "127.0.0.1", "port": 1, "username": "me", "password": "secret"}}
    backend = open_backend("couchbase://", BackendOptions(settings=settings, connect_timeout=0.1, timeout=0.1))
    with pytest.raises(OperationalError, match="couchbase:// cannot be reached"):
        backend.load_many(["t"])


def test_values_are_text_where_they_can_be() -> None:
    assert fields_of("value", b'{"a": 1}') == {"value": '{"a": 1}'}
    for data in (b"", b"text", b"\x80\x05\xff"):
        assert value_of("value", fields_of("value", data)) == data
    assert value_of("value", {}) == b""


def _backend(scheme: str, port: int, **settings: Any) -> ResultBackend:
    return open_backend(f"{scheme}://127.0.0.1:{port}/place", BackendOptions(settings=settings))


def test_documents_have_celerys_form() -> None:
    couchdb, elastic, arango, consul = CouchDB(), Elasticsearch(), ArangoDB(), Consul()
    for scheme, emulator in {
        "couchdb": couchdb,
        "elasticsearch": elastic,
        "arangodb": arango,
        "consul": consul,
    }.items():
        with serve(emulator) as port:
            backend = _backend(scheme, port)
            backend.store_many([ResultRecord("t", "SUCCESS", 5)])
            backend.close()
    key = "celery-task-meta-t"
    couch_document = couchdb.databases["place"][key]
    assert couch_document["_id"] == key
    _, elastic_document = elastic.indices["place"][key]
    assert set(elastic_document) == {"result", "@timestamp", "expires_at"}
    arango_document = arango.collections["place", "celery"][key]
    _, _, consul_value = consul.entries[f"place/{key}"]
    texts = [couch_document["value"], elastic_document["result"], arango_document["task"], consul_value.decode()]
    for text in texts:
        assert text.startswith('{"status": "SUCCESS", "result": 5, ') or text.startswith(
            '{"status":"SUCCESS","result":5,'
        )


def test_elasticsearch_keeps_objects_where_the_setting_says_so() -> None:
    emulator = Elasticsearch()
    with serve(emulator) as port:
        backend = _backend("elasticsearch", port, elasticsearch_save_meta_as_text=False)
        value = {"list": [1, "a"]}
        backend.store_many([ResultRecord("t", "SUCCESS", value)])
        _, document = emulator.indices["place"]["celery-task-meta-t"]
        assert document["result"]["status"] == "SUCCESS"
        assert document["result"]["result"] == '{"list": [1, "a"]}'
        assert backend.load_many(["t"])["t"].result == value
        # What was stored as text before is read as well.
        text = _backend("elasticsearch", port)
        text.store_many([ResultRecord("u", "SUCCESS", value)])
        assert backend.load_many(["u"])["u"].result == value
        backend.close()
        text.close()


def test_what_is_no_object_has_a_field_of_its_own() -> None:
    document = elasticsearch._object(b"\x80\x05")
    assert set(document) == {"result_base64"}
    assert elasticsearch._data(document) == b"\x80\x05"


class _Refusing(Emulator):
    """Answers everything alike."""

    headers: ClassVar = {"X-Elastic-Product": "Elasticsearch", "X-Consul-Index": "1"}

    def __init__(self, status: int, value: Any) -> None:
        self._answer = Answer(status, value)

    def answer(self, request: Request) -> Answer:
        return self._answer


@pytest.mark.parametrize(
    ("scheme", "status", "value", "kind"),
    [
        ("couchdb", 401, {"error": "unauthorized", "reason": "Name or password is incorrect."}, SessionRefused),
        ("couchdb", 413, {"error": "document_too_large", "reason": "celery-task-meta-t"}, BackendStoreError),
        ("couchdb", 500, {"error": "internal", "reason": "x"}, OperationalError),
        ("elasticsearch", 401, {"error": {"type": "security_exception"}, "status": 401}, SessionRefused),
        ("elasticsearch", 403, {"error": {"type": "security_exception"}, "status": 403}, SessionRefused),
        ("elasticsearch", 400, {"error": {"type": "mapper_parsing_exception"}, "status": 400}, BackendStoreError),
        ("elasticsearch", 503, {"error": {"type": "unavailable"}, "status": 503}, OperationalError),
        ("arangodb", 401, {"error": True, "code": 401, "errorNum": 11, "errorMessage": "x"}, SessionRefused),
        ("arangodb", 413, {"error": True, "code": 413, "errorNum": 1216, "errorMessage": "x"}, BackendStoreError),
        ("arangodb", 500, {"error": True, "code": 500, "errorNum": 4, "errorMessage": "x"}, OperationalError),
        ("consul", 403, "Permission denied", SessionRefused),
        ("consul", 413, "Value too large", BackendStoreError),
        ("consul", 500, "No cluster leader", OperationalError),
    ],
)
def test_refusals(scheme: str, status: int, value: Any, kind: type[Exception]) -> None:
    with serve(_Refusing(status, value)) as port:
        backend = _backend(scheme, port)
        with pytest.raises(kind, match=f"{scheme}://127.0.0.1"):
            backend.store_many([ResultRecord("t", "SUCCESS", 5)])
        backend.close()


def test_swept_is_what_has_expired() -> None:
    for scheme, emulator in {"couchdb": CouchDB(), "elasticsearch": Elasticsearch(), "consul": Consul()}.items():
        with serve(emulator) as port:
            kept = open_backend(f"{scheme}://127.0.0.1:{port}/place", BackendOptions(expires=3600.0))
            gone = open_backend(f"{scheme}://127.0.0.1:{port}/place", BackendOptions(expires=1e-6))
            kept.store_many([ResultRecord(f"kept-{number}", "SUCCESS") for number in range(3)])
            gone.store_many([ResultRecord(f"gone-{number}", "SUCCESS") for number in range(3)])
            swept = 0
            while swept < 3:
                # Consul counts in seconds.
                swept += kept.sweep()
            ids = [f"{name}-{number}" for name in ("kept", "gone") for number in range(3)]
            assert set(kept.load_many(ids)) == set(ids[:3]), scheme
            kept.close()
            gone.close()
