"""The brokers and backends that the contracts are applied to, by name."""

from __future__ import annotations

import os
import socket
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celeriac.backend.named import open_class
from celeriac.broker import Broker, BrokerOptions, open_broker
from celeriac.broker.sqs.names import queue_name
from celeriac.drivers.resp_cluster import RespCluster
from celeriac.drivers.resp_params import RespParams
from celeriac.testing.contracts import BackendUnderTest, BrokerUnderTest
from celeriac.testing.contracts.broker_subject import PATIENCE
from celeriac.utils.dataclass import replace
from tests.contract import store_subjects
from tests.support import servers, stores
from tests.support.written_for_celery import FileStore, TableStore, app_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from celeriac.broker import BrokerSession
    from tests.support import cluster
    from tests.support.chaosproxy import ChaosProxy


def broker(name: str, request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    """The broker of a name, on a server or in a directory that the test has for itself."""
    return _BROKERS[name](request, directory)


def _memory(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    return BrokerUnderTest(f"memory://{servers.unique()}")


def _sqlite(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    path = directory / "celeriac.sqlite3"

    def put_malformed(queue: str) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(_MALFORMED.replace("%s", "?"), (queue, b"not a message", "{truncated"))
        connection.close()

    return BrokerUnderTest(f"sqlite:///{path}", put_malformed=put_malformed)


def _redis(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    url: str = request.getfixturevalue("redis_url")

    def disconnect(session: BrokerSession) -> None:
        servers.redis_command(url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    return BrokerUnderTest(
        url,
        # kombu's rule on this transport: 0 leaves first.
        urgent=0,
        ordinary=9,
        put_malformed=lambda queue: servers.redis_command(url, "LPUSH", queue, "not a message"),
        disconnect=disconnect,
        url_at_port=lambda port: f"redis://127.0.0.1:{port}/0",
    )


def _redis_cluster(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    nodes: cluster.Nodes = request.getfixturevalue("redis_cluster")
    prefix = servers.unique()

    def put_malformed(queue: str) -> None:
        key = f"{{{prefix}}}{queue}"
        RespCluster([RespParams("127.0.0.1", nodes.ports[0])]).execute(key, "LPUSH", key, "not a message")

    return BrokerUnderTest(
        nodes.url,
        transport_options={"global_keyprefix": prefix},
        urgent=0,
        ordinary=9,
        put_malformed=put_malformed,
        disconnect=lambda session: nodes.on_each_primary("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        url_at_port=lambda port: f"redis+cluster://127.0.0.1:{port}",
    )


def _keys_of_celery(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    return _written_for_celery(FileStore, directory)


def _tables_of_celery(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    return _written_for_celery(TableStore, directory)


def _written_for_celery(cls: Any, directory: Path) -> BackendUnderTest:
    return BackendUnderTest(
        f"file://{directory}",
        open=lambda url, options: open_class(cls, url, replace(options, app=app_of(options))),
        put_malformed=lambda task_id: cls(app=app_of(), url=f"file://{directory}").put_malformed(task_id),
        # It is looked at again and again, twice in a second.
        reaction=1.0,
        batch=100,
    )


def _postgresql_execute(url: str) -> Callable[..., None]:
    import psycopg

    def execute(statement: str, *parameters: Any) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode(), parameters or None)

    return execute


def _postgresql(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    url: str = request.getfixturevalue("contract_postgresql_url")
    execute = _postgresql_execute(url)
    return BrokerUnderTest(
        url,
        put_malformed=lambda queue: execute(_MALFORMED, queue, b"not a message", "{truncated"),
        disconnect=lambda session: execute(_POSTGRESQL_DISCONNECT),
        url_at_port=lambda port: f"postgresql://postgres@127.0.0.1:{port}/postgres",
    )


def _mysql_execute(url: str) -> Callable[..., Any]:
    import pymysql

    parts = urlsplit(url)

    def execute(statement: str, *parameters: Any) -> list[Any]:
        with (
            pymysql.connect(
                host=parts.hostname or "127.0.0.1",
                port=parts.port or 3306,
                user=parts.username or "root",
                password=parts.password or "",
                database=parts.path.strip("/"),
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    return execute


def _mysql_disconnect(url: str) -> None:
    execute = _mysql_execute(url)
    others = execute("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
    for (connection_id,) in others:
        execute(f"KILL {connection_id}")


def _mysql(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    url: str = request.getfixturevalue("contract_mysql_url")
    execute = _mysql_execute(url)
    return BrokerUnderTest(
        url,
        # The server cannot notify: an idle session polls every 5 to 100 ms.
        reaction=0.5,
        put_malformed=lambda queue: execute(_MALFORMED, queue, b"not a message", "{truncated"),
        disconnect=lambda session: _mysql_disconnect(url),
        url_at_port=lambda port: f"mysql://root@127.0.0.1:{port}/mysql",
    )


def _amqp(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    url: str = request.getfixturevalue("amqp_url")

    def disconnect(session: Any) -> None:
        # Both directions of the socket end under the session, as when the server dies.
        fileno = session._link.connection.fileno()
        with socket.socket(fileno=os.dup(fileno)) as shared:
            shared.shutdown(socket.SHUT_RDWR)

    return BrokerUnderTest(
        url,
        silence=disconnect,
        disconnect=disconnect,
        url_at_port=lambda port: f"amqp://guest:guest@127.0.0.1:{port}//",
    )


def _sqs(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    proxy: ChaosProxy = request.getfixturevalue("moto")
    prefix = f"{servers.unique()}-"

    def at_port(port: int) -> str:
        return f"sqs://{stores.AWS_KEY}:{stores.AWS_SECRET}@127.0.0.1:{port}"

    def put_malformed(queue: str) -> None:
        client = stores.aws_client("sqs", f"http://127.0.0.1:{proxy.port}")
        url = client.get_queue_url(QueueName=queue_name(queue, prefix))["QueueUrl"]
        client.send_message(QueueUrl=url, MessageBody="not a message")

    return BrokerUnderTest(
        at_port(proxy.port),
        transport_options={"queue_name_prefix": prefix},
        # The emulator takes milliseconds for each request, of ten messages at most.
        many=200,
        reaction=2.0,
        put_malformed=put_malformed,
        disconnect=lambda session: proxy.reset(),
        url_at_port=at_port,
    )


def _kombu_memory(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    return BrokerUnderTest("kombu+memory://", many=1000, reaction=0.5)


def _kombu_filesystem(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    for name in ("messages", "control"):
        (directory / name).mkdir()
    folder = str(directory / "messages")
    options = {"data_folder_in": folder, "data_folder_out": folder, "control_folder": str(directory / "control")}
    # It lists the directory for each message.
    return BrokerUnderTest("filesystem://", transport_options=options, many=100, reaction=0.5)


def _kombu_sqlite(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    request.addfinalizer(_dispose_engines)

    def patient(url: str, options: BrokerOptions) -> Broker:
        # Each message is a transaction, written to the disk.
        return open_broker(url, replace(options, publish_timeout=PATIENCE))

    return BrokerUnderTest(f"sqla+sqlite:///{directory}/kombu.sqlite3", open=patient, many=100, reaction=0.5)


def _dispose_engines() -> None:
    """End the connections that kombu keeps for the process."""
    from kombu.transport.sqlalchemy import Channel

    while Channel._engines:
        _, (engine, _) = Channel._engines.popitem()
        engine.dispose()


def _kombu_postgresql(request: pytest.FixtureRequest, directory: Path) -> BrokerUnderTest:
    subject = _postgresql(request, directory)
    request.addfinalizer(_dispose_engines)
    assert subject.disconnect is not None
    return BrokerUnderTest(
        f"sqla+{subject.url.replace('postgresql://', 'postgresql+psycopg://')}",
        many=100,
        reaction=0.5,
        disconnect=subject.disconnect,
        url_at_port=lambda port: f"sqla+postgresql+psycopg://postgres@127.0.0.1:{port}/postgres",
    )


def backend(name: str, request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    """The backend of a name, on a server or in a directory that the test has for itself."""
    return _BACKENDS[name](request, directory)


def _rpc_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    url: str = request.getfixturevalue("amqp_url")
    return BackendUnderTest(
        f"rpc{url.removeprefix('amqp')}",
        disconnect=lambda: servers.rabbitmq_disconnect(url),
        url_at_port=lambda port: f"rpc://guest:guest@127.0.0.1:{port}//",
    )


def _memory_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    return BackendUnderTest(f"memory://{servers.unique()}")


def _sqlite_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    path = directory / "celeriac.sqlite3"

    def put_malformed(task_id: str) -> None:
        with sqlite3.connect(path) as connection:
            statement = "INSERT INTO celeriac_results (task_id, status, meta) VALUES (?, 'SUCCESS', ?)"
            connection.execute(statement, (task_id, b"{truncated"))
        connection.close()

    return BackendUnderTest(f"sqlite:///{path}", put_malformed=put_malformed)


def _redis_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    url: str = request.getfixturevalue("redis_url")
    return BackendUnderTest(
        url,
        put_malformed=lambda task_id: servers.redis_command(url, "SET", f"celery-task-meta-{task_id}", "{truncated"),
        disconnect=lambda: servers.redis_command(url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        url_at_port=lambda port: f"redis://127.0.0.1:{port}/0",
    )


def _redis_cluster_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    nodes: cluster.Nodes = request.getfixturevalue("redis_cluster")
    prefix = f"{servers.unique()}_"

    def put_malformed(task_id: str) -> None:
        key = f"{prefix}celery-task-meta-{task_id}"
        RespCluster([RespParams("127.0.0.1", nodes.ports[0])]).execute(key, "SET", key, "{truncated")

    return BackendUnderTest(
        nodes.url,
        options={"transport_options": {"global_keyprefix": prefix}},
        put_malformed=put_malformed,
        disconnect=lambda: nodes.on_each_primary("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"),
        url_at_port=lambda port: f"redis+cluster://127.0.0.1:{port}",
    )


def _db_sqlite_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    # Without notification, reading again at intervals of up to 200 ms.
    return BackendUnderTest(f"db+sqlite:///{directory}/results.sqlite3", reaction=0.5)


def _postgresql_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    subject = _postgresql(request, directory)
    execute = _postgresql_execute(subject.url)
    return BackendUnderTest(
        f"db+{subject.url}",
        put_malformed=lambda task_id: execute(_MALFORMED_RESULT, task_id, b"{truncated"),
        disconnect=lambda: execute(_POSTGRESQL_DISCONNECT),
        url_at_port=lambda port: f"db+postgresql://postgres@127.0.0.1:{port}/postgres",
    )


def _mysql_backend(request: pytest.FixtureRequest, directory: Path) -> BackendUnderTest:
    subject = _mysql(request, directory)
    execute = _mysql_execute(subject.url)

    def disconnect() -> None:
        _mysql_disconnect(subject.url)

    return BackendUnderTest(
        f"db+{subject.url}",
        reaction=0.5,
        put_malformed=lambda task_id: execute(_MALFORMED_RESULT, task_id, b"{truncated"),
        disconnect=disconnect,
        url_at_port=lambda port: f"db+mysql://root@127.0.0.1:{port}/mysql",
    )


_MALFORMED_RESULT = "INSERT INTO celery_taskmeta (id, task_id, status, result) VALUES (999999, %s, 'SUCCESS', %s)"
_POSTGRESQL_DISCONNECT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)

#: A row whose headers are no JSON; the other columns have defaults.
_MALFORMED = "INSERT INTO celeriac_messages (queue, body, headers) VALUES (%s, %s, %s)"

_BROKERS: dict[str, Callable[[pytest.FixtureRequest, Path], BrokerUnderTest]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "redis+cluster": _redis_cluster,
    "postgresql": _postgresql,
    "mysql": _mysql,
    "amqp": _amqp,
    "sqs": _sqs,
    "kombu+memory": _kombu_memory,
    "kombu+filesystem": _kombu_filesystem,
    "kombu+sqla+sqlite": _kombu_sqlite,
    "kombu+sqla+postgresql": _kombu_postgresql,
}

_BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Path], BackendUnderTest]] = {
    "memory": _memory_backend,
    "keys of celery": _keys_of_celery,
    "tables of celery": _tables_of_celery,
    "sqlite": _sqlite_backend,
    "db+sqlite": _db_sqlite_backend,
    "postgresql": _postgresql_backend,
    "mysql": _mysql_backend,
    "redis": _redis_backend,
    "redis+cluster": _redis_cluster_backend,
    "rpc": _rpc_backend,
    **store_subjects.STORES,
}
