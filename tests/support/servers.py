"""Where the servers of the integration tests are, and how a test gets a part of one to itself.

Each URL can be given in the environment (`CELERIAC_TEST_REDIS_URL`, `CELERIAC_TEST_AMQP_URL`,
`CELERIAC_TEST_POSTGRESQL_URL`, `CELERIAC_TEST_MYSQL_URL`); without one, the server's usual address on this
machine is used. A missing server skips its tests on a laptop and fails them where CI is set.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from tests.support.waiting import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REDIS_URL = os.environ.get("CELERIAC_TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
AMQP_URL = os.environ.get("CELERIAC_TEST_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672//")
POSTGRESQL_URL = os.environ.get("CELERIAC_TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
MYSQL_URL = os.environ.get("CELERIAC_TEST_MYSQL_URL", "mysql://root@127.0.0.1:3306/mysql")

_RANDOM = random.SystemRandom()
_PORTS = (10_000, 32_000)


def answers(host: str, port: int) -> bool:
    """True if something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE):
            return True
    except OSError:
        return False


def require(name: str, url: str) -> None:
    """Skip the test (in CI: fail it) when the server behind `url` does not answer."""
    parts = urlsplit(url)
    if not answers(parts.hostname or "127.0.0.1", parts.port or 0):
        unavailable(f"{name} does not answer at {parts.hostname}:{parts.port}; `make servers` starts it")


def unavailable(reason: str) -> None:
    """Skip the test, or fail it in CI."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def with_path(url: str, path: str) -> str:
    """The same server, another database or virtual host."""
    return urlunsplit(urlsplit(url)._replace(path="/" + path))


def unique(prefix: str = "test") -> str:
    """A name that no other run uses: letters, digits and underscores."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def free_port() -> int:
    """A TCP port nobody listens on, below those that connections of other programs get at any time.

    Not from the generator of `random`, which begins every test of every process with the same numbers.
    """
    while True:
        port = _RANDOM.randrange(*_PORTS)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@contextmanager
def private_redis(directory: Path) -> Iterator[str]:
    """A Redis server of its own, in memory, while the block runs; yields its URL without a database."""
    program = shutil.which("redis-server")
    if program is None:
        require("Redis", REDIS_URL)
        yield REDIS_URL.rpartition("/")[0]
        return
    port = free_port()
    options = [
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(directory),
    ]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers("127.0.0.1", port), what=f"redis-server on port {port}")
            assert process.poll() is None, f"another server answers on port {port}"
            yield f"redis://127.0.0.1:{port}"
        finally:
            process.terminate()


def redis_command(url: str, *words: str) -> None:
    """Send one command to a Redis server, without a client library, and wait for its answer."""
    parts = urlsplit(url)
    lines = [f"*{len(words)}", *(part for word in words for part in (f"${len(word.encode())}", word)), ""]
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=PATIENCE) as sock:
        database = parts.path.strip("/") or "0"
        sock.sendall(f"*2\r\n$6\r\nSELECT\r\n${len(database)}\r\n{database}\r\n".encode())
        sock.sendall("\r\n".join(lines).encode())
        answer = b""
        while answer.count(b"\r\n") < 2:
            answer += sock.recv(4096)
    if b"-" in (answer[:1], answer.split(b"\r\n")[1][:1]):
        raise RuntimeError(f"redis answered {answer!r} to {words[0]}")


@contextmanager
def rabbitmq_vhost(name: str) -> Iterator[str]:
    """A virtual host of its own where `rabbitmqctl` may make one, else the one of the URL."""
    require("RabbitMQ", AMQP_URL)
    user = urlsplit(AMQP_URL).username or "guest"
    if "CELERIAC_TEST_AMQP_URL" in os.environ or not _rabbitmqctl("add_vhost", name):
        yield AMQP_URL
        return
    try:
        _rabbitmqctl("set_permissions", "-p", name, user, ".*", ".*", ".*")
        yield with_path(AMQP_URL, name)
    finally:
        _rabbitmqctl("delete_vhost", name)


def rabbitmq_disconnect(url: str) -> None:
    """End every connection to the virtual host of a URL from the server's side."""
    vhost = unquote(urlsplit(url).path[1:]) or "/"
    assert _rabbitmqctl("close_all_connections", "--vhost", vhost, "closed by a test")


def _rabbitmqctl(*words: str) -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None:
        return False
    done = subprocess.run([program, "--quiet", *words], capture_output=True, timeout=2 * PATIENCE, check=False)
    return done.returncode == 0


@contextmanager
def postgresql_database(name: str) -> Iterator[str]:
    """A database of its own; yields its URL."""
    import psycopg

    require("PostgreSQL", POSTGRESQL_URL)
    with psycopg.connect(POSTGRESQL_URL, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield with_path(POSTGRESQL_URL, name)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@contextmanager
def mysql_database(name: str) -> Iterator[str]:
    """A database of its own; yields its URL."""
    import pymysql

    require("MySQL", MYSQL_URL)
    parts = urlsplit(MYSQL_URL)
    with (
        pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=parts.username or "root",
            password=parts.password or "",
            autocommit=True,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"CREATE DATABASE `{name}`")
        try:
            yield with_path(MYSQL_URL, name)
        finally:
            cursor.execute(f"DROP DATABASE `{name}`")
