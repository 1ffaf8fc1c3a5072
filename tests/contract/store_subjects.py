"""The key-value stores that the backend contracts are applied to, by name."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest import mock

from celeriac.backend import BackendOptions, open_backend
from celeriac.backend.keys import GROUP_PREFIX, TASK_PREFIX
from celeriac.backend.kv.backend import JoiningKeyValueBackend, open_driver
from celeriac.backend.kv.driver import Entry
from celeriac.testing.contracts import BackendUnderTest
from celeriac.utils.dataclass import replace
from tests.support import servers, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from tests.support.chaosproxy import ChaosProxy


def _put_malformed(url: str, settings: dict[str, Any] | None = None) -> Callable[[str], None]:
    """Stores truncated JSON by the driver."""

    def put(task_id: str) -> None:
        driver = open_driver(url.partition("://")[0], url, BackendOptions(settings=settings or {}))
        with driver.errors():
            driver.write(Entry(TASK_PREFIX + task_id, b"{truncated", 60.0))
        driver.close()

    return put


def _filesystem(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    path = directory / "results"
    path.mkdir()
    url = f"file://{path}"
    return BackendUnderTest(url, reaction=1.0, put_malformed=_put_malformed(url))


def _memcached(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("memcached")
    url = f"cache+memcached://127.0.0.1:{proxy.port}/"
    return BackendUnderTest(
        url,
        reaction=1.0,
        put_malformed=_put_malformed(url),
        disconnect=proxy.reset,
        url_at_port=lambda port: f"cache+memcached://127.0.0.1:{port}/",
    )


_MADE: set[str] = set()
_MAKING = threading.Lock()


def _s3(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("moto")
    endpoint = f"http://127.0.0.1:{proxy.port}"
    settings = {
        "s3_access_key_id": stores.AWS_KEY,
        "s3_secret_access_key": stores.AWS_SECRET,
        "s3_region": "us-east-1",
        "s3_base_path": f"{servers.unique()}/",
    }
    bucket = "celeriac-results"
    with _MAKING:
        if endpoint not in _MADE:
            stores.make_bucket(endpoint, bucket)
            _MADE.add(endpoint)
    url = f"s3://{bucket}?endpoint_url={endpoint}"
    return BackendUnderTest(
        url,
        options={"settings": settings},
        put_malformed=_put_malformed(url, settings),
        batch=15,
        chord=200,
        reaction=2.0,
        disconnect=proxy.reset,
        url_at_port=lambda port: f"s3://{bucket}?endpoint_url=http://127.0.0.1:{port}",
    )


def _dynamodb(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("moto")

    def at_port(port: int) -> str:
        return f"dynamodb://{stores.AWS_KEY}:{stores.AWS_SECRET}@127.0.0.1:{port}/celery"

    url = at_port(proxy.port)
    return BackendUnderTest(
        url,
        put_malformed=_put_malformed(url),
        # The service keeps items of up to 400 KB.
        largest=300_000,
        batch=120,
        chord=200,
        reaction=2.0,
        disconnect=proxy.reset,
        url_at_port=at_port,
    )


def _mongodb(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    """An emulation in this process: a server is not to be had everywhere."""
    from celeriac.backend.kv.mongodb import MongoDBDriver

    client, one_at_a_time = stores.mongomock_client(), threading.RLock()

    class Driver(MongoDBDriver):
        """A server changes a document in one step; the emulation shows other threads half of it."""

        @contextmanager
        def errors(self) -> Iterator[None]:
            with one_at_a_time, super().errors():
                yield

    collections = {TASK_PREFIX: "celery_taskmeta", GROUP_PREFIX: "celery_groupmeta"}

    def open_(url: str, options: BackendOptions) -> JoiningKeyValueBackend:
        backend = JoiningKeyValueBackend(Driver(lambda: client, "celery", collections, url), options)
        backend.capabilities = replace(backend.capabilities, in_process=True)
        return backend

    def put_malformed(task_id: str) -> None:
        client["celery"]["celery_taskmeta"].insert_one({"_id": task_id, "status": "SUCCESS", "result": "{truncated"})

    return BackendUnderTest("mongodb://emulated", open=open_, reaction=1.0, chord=1000, put_malformed=put_malformed)


def _django_cache(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("memcached")
    stores.configure_django_cache(f"127.0.0.1:{proxy.port}")

    def put_malformed(task_id: str) -> None:
        from django.core.cache import caches

        cache = caches.create_connection("default")
        cache.set(TASK_PREFIX + task_id, "{truncated", 60)
        cache.close()

    return BackendUnderTest("django-cache", reaction=1.0, chord=1000, put_malformed=put_malformed)


def _django_db(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    alias = stores.configure_django_database(directory / "django.sqlite3")
    request.addfinalizer(lambda: stores.drop_django_database(alias))

    def put_malformed(task_id: str) -> None:
        data = {"status": "SUCCESS", "result": "{truncated", "traceback": None, "meta": "{}", "content_type": "",
                "content_encoding": "", "date_done": datetime.now(UTC)}  # fmt: skip
        driver = open_driver("django-db", f"django-db://{alias}", BackendOptions())
        driver.write(Entry(TASK_PREFIX + task_id, data, None))

    return BackendUnderTest(f"django-db://{alias}", reaction=1.0, chord=1000, put_malformed=put_malformed)


def _azure(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    url = f"azureblockblob://{os.environ['CELERIAC_TEST_AZURE']}"
    settings = {"azureblockblob_base_path": f"{servers.unique()}/"}
    return BackendUnderTest(
        url,
        options={"settings": settings},
        reaction=2.0,
        batch=15,
        chord=200,
        put_malformed=_put_malformed(url, settings),
    )


def _gcs(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    bucket = os.environ.get("CELERIAC_TEST_GCS")
    if bucket is None:
        proxy: ChaosProxy = request.getfixturevalue("emulated")("gs")
        request.getfixturevalue("monkeypatch").setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{proxy.port}")
    url = f"gs://{bucket or 'emulated'}/{servers.unique()}"
    return BackendUnderTest(url, reaction=2.0, batch=15, chord=200, put_malformed=_put_malformed(url))


def _emulated(scheme: str, userinfo: str, path: str, **fields: Any) -> Callable[..., BackendUnderTest]:
    """A store that is emulated by a server of this process."""

    def subject(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
        proxy: ChaosProxy = request.getfixturevalue("emulated")(scheme)

        def at_port(port: int) -> str:
            return f"{scheme}://{userinfo}127.0.0.1:{port}/{path.format(unique=servers.unique())}"

        url = at_port(proxy.port)
        return BackendUnderTest(
            url,
            reaction=2.0,
            chord=1000,
            put_malformed=_put_malformed(url),
            disconnect=proxy.reset,
            url_at_port=at_port,
            **fields,
        )

    return subject


def _cosmosdb(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("emulated")("cosmosdbsql+http")
    settings = {"cosmosdbsql_consistency_level": "Strong", "cosmosdbsql_database_name": servers.unique()}

    def at_port(port: int) -> str:
        return f"cosmosdbsql+http://:a2V5@127.0.0.1:{port}"

    url = at_port(proxy.port)
    return BackendUnderTest(
        url,
        options={"settings": settings},
        batch=50,
        chord=200,
        reaction=2.0,
        put_malformed=_put_malformed(url, settings),
        disconnect=proxy.reset,
        url_at_port=at_port,
    )


def _couchbase(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    """An emulation in this process."""
    from celeriac.backend.kv.couchbase import CouchbaseDriver
    from tests.support.emulators.couchbase import Collection

    collection, cluster = Collection(), mock.Mock()

    def open_(url: str, options: BackendOptions) -> JoiningKeyValueBackend:
        backend = JoiningKeyValueBackend(CouchbaseDriver(lambda: (cluster, collection), url), options)
        backend.capabilities = replace(backend.capabilities, in_process=True)
        return backend

    def put_malformed(task_id: str) -> None:
        collection.upsert(TASK_PREFIX + task_id, "{truncated")

    return BackendUnderTest("couchbase://emulated", open=open_, reaction=1.0, put_malformed=put_malformed)


def _cassandra(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    """An emulation in this process."""
    from celeriac.backend.kv.cassandra import access
    from tests.support.emulators.cassandra import Server

    server = Server()
    request.getfixturevalue("monkeypatch").setattr(access, "Cluster", server.cluster)
    settings = {"cassandra_servers": ["there"], "cassandra_keyspace": "results", "cassandra_table": "tasks"}

    def open_(url: str, options: BackendOptions) -> JoiningKeyValueBackend:
        backend = open_backend(url, options)
        assert isinstance(backend, JoiningKeyValueBackend)
        backend.capabilities = replace(backend.capabilities, in_process=True)
        return backend

    def put_malformed(task_id: str) -> None:
        insert = server.prepare(
            "INSERT INTO tasks (task_id, status, result, date_done) VALUES (?, ?, ?, ?) USING TTL ?"
        )
        server.execute(insert, (task_id, "SUCCESS", b"{truncated", datetime.now(UTC), 0))

    return BackendUnderTest(
        "cassandra://",
        open=open_,
        options={"settings": settings},
        reaction=1.0,
        chord=1000,
        put_malformed=put_malformed,
    )


STORES: dict[str, Callable[[pytest.FixtureRequest, Path], BackendUnderTest]] = {
    "filesystem": _filesystem,
    "memcached": _memcached,
    "s3": _s3,
    "dynamodb": _dynamodb,
    "mongodb": _mongodb,
    "django-cache": _django_cache,
    "django-db": _django_db,
    # Emulated, unless CELERIAC_TEST_GCS names a bucket.
    "gcs": _gcs,
    "arangodb": _emulated("arangodb", "user:password@", "database/{unique}"),
    # An entry holds up to 512 KB.
    "consul": _emulated("consul", "", "{unique}", largest=500_000, batch=100),
    "elasticsearch": _emulated("elasticsearch", "user:password@", "{unique}"),
    "cassandra": _cassandra,
    "cosmosdbsql": _cosmosdb,
    "couchbase": _couchbase,
    "couchdb": _emulated("couchdb", "user:password@", "{unique}"),
}
if "CELERIAC_TEST_AZURE" in os.environ:
    # A connection string: the emulator, Azurite, is too large to install for every run.
    STORES["azure"] = _azure
SERVERS = ["memcached", "s3", "dynamodb", "arangodb", "consul", "cosmosdbsql", "couchdb", "elasticsearch"]
