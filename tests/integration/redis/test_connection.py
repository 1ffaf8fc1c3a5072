"""Connections: refused, slow, broken, encrypted; and servers that refuse commands."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.broker import BrokerOptions, open_broker
from celeriac.drivers.resp import ReplyError, RespConnection
from celeriac.drivers.resp_params import params_from_url
from celeriac.drivers.resp_pool import RespPool
from celeriac.exceptions import (
    ImproperlyConfigured,
    OperationalError,
    PublishTimeout,
    SecurityWarning,
    SessionClosed,
    SessionLost,
    SessionRefused,
)
from tests.integration.redis.conftest import publication
from tests.support import PATIENCE, SLACK, servers, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celeriac.broker import Queue
    from tests.integration.redis.conftest import OpenSession


def connect(url: str, **options: Any) -> RespConnection:
    tls = options.pop("tls", False)
    return RespConnection(params_from_url(url, connect_timeout=PATIENCE, timeout=PATIENCE, tls=tls, options=options))


@contextlib.contextmanager
def redis_with(directory: Path, *options: str) -> Iterator[None]:
    """A server with options of its own."""
    command = ["redis-server", "--save", "", "--dir", str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def listens(path: Path) -> bool:
    """True when a server accepts connections at a unix socket, which exists a moment earlier."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


# --- setting up


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with redis_with(tmp_path, "--port", "0", "--unixsocket", str(path), "--requirepass", "pw"):
        wait_until(lambda: listens(path))
        connection = connect(f"redis+socket://:pw@{path}?virtual_host=3&client_name=me")
        assert b"db=3" in connection.execute("CLIENT", "INFO")
        assert b"name=me" in connection.execute("CLIENT", "INFO")
        connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of localhost and its key."""
    directory = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=directory, check=True, capture_output=True,
    )  # fmt: skip
    return directory


def test_tls(tmp_path: Path, certificate: Path) -> None:
    port, cert = servers.free_port(), str(certificate / "cert.pem")
    key = str(certificate / "key.pem")
    with redis_with(
        tmp_path, "--port", "0", "--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key,
        "--tls-ca-cert-file", cert,
    ):  # fmt: skip
        wait_until(lambda: servers.answers("127.0.0.1", port))
        url = f"rediss://127.0.0.1:{port}/0"
        with pytest.raises(OperationalError, match="certificate"):
            connect(url)
        mutual = {"ssl_ca_certs": cert, "ssl_certfile": cert, "ssl_keyfile": key}
        connection = connect(url, tls=mutual)
        big = b"x" * 1_000_000
        assert connection.pipeline([("SET", "k", big), ("GET", "k")])[1] == big
        connection.execute("CLIENT", "TRACKING", "ON")
        connection.execute("EXISTS", "other")
        other = connect(f"{url}?ssl_ca_certs={cert}&ssl_certfile={cert}&ssl_keyfile={key}")
        threading.Timer(0.05, other.execute, ["SET", "other", "1"]).start()
        assert connection.wait_push(time.monotonic() + PATIENCE) == [b"invalidate", [b"other"]]
        connection.close()
        with pytest.warns(SecurityWarning):
            unverified = connect(f"{url}?ssl_cert_reqs=none", tls={"certfile": cert, "keyfile": key})
        assert unverified.execute("PING") == b"PONG"
        unverified.close()
        other.close()


def test_wrong_password_is_refused(redis_server: str) -> None:
    admin = connect(redis_server)
    admin.execute("ACL", "SETUSER", "someone", "reset", "on", ">right", "~*", "&*", "+@all")
    address = redis_server.removeprefix("redis://")
    connect(f"redis://someone:right@{address}").close()
    for protocol in (2, 3):
        with pytest.raises(SessionRefused) as caught:
            open_broker(f"redis://someone:wrong@{address}?protocol={protocol}").connect()
        assert "wrong" not in str(caught.value).partition("WRONGPASS")[0]
        assert "refused the password of user 'someone'" in str(caught.value)
    admin.close()


def test_missing_password_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with redis_with(tmp_path, "--port", "0", "--unixsocket", str(path), "--requirepass", "pw"):
        wait_until(lambda: listens(path))
        with pytest.raises(SessionRefused, match=r"wants a password: redis://\[user\]:password@host"):
            open_broker(f"redis+socket://{path}").connect()


def test_missing_permission_is_refused(redis_server: str, queue: Queue) -> None:
    admin = connect(redis_server)
    admin.execute("ACL", "SETUSER", "reader", "reset", "on", ">pw", "~*", "&*", "+@read", "+@connection")
    address = redis_server.removeprefix("redis://")
    session = open_broker(f"redis://reader:pw@{address}").connect()
    with pytest.raises(SessionRefused, match="NOPERM"):
        session.publish_many([publication(queue)])
    session.close()
    admin.close()


def test_credentials_are_asked_for_with_every_connection(redis_server: str) -> None:
    admin = connect(redis_server)
    asked: list[int] = []

    def credentials() -> tuple[str, str]:
        asked.append(1)
        password = f"pw{len(asked)}"
        admin.execute("ACL", "SETUSER", "rotating", "reset", "on", f">{password}", "~*", "&*", "+@all")
        return "rotating", password

    for _ in range(2):
        connect(redis_server, credential_provider=credentials).close()
    assert len(asked) == 2
    admin.close()


def test_failover_list_is_tried_in_order(redis_url: str, queue: Queue) -> None:
    closed = f"redis://127.0.0.1:{servers.free_port()}/0"
    broker = open_broker(f"{closed};{redis_url}")
    for _ in range(2):
        session = broker.connect(timeout=PATIENCE)
        session.publish_many([publication(queue)])
        session.close()
    with pytest.raises(OperationalError, match="cannot reach"):
        open_broker(f"{closed};{closed}").connect(timeout=1)


@pytest.mark.parametrize(
    "options",
    [
        {"transport_options": {"ack_emulation": False}},
        {"transport_options": {"queue_order_strategy": "random"}},
        {"transport_options": {"no_such_option": 1}},
    ],
)
def test_unusable_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured):
        open_broker("redis://", BrokerOptions(**options))


def test_kombu_options_are_understood() -> None:
    kombu = {
        "visibility_timeout": 60, "unacked_mutex_key": "m", "unacked_restore_limit": 5, "socket_timeout": 3,
        "socket_keepalive": True, "health_check_interval": 25, "retry_on_timeout": True, "max_connections": 10,
    }  # fmt: skip
    open_broker("redis://", BrokerOptions(transport_options=kombu))


# --- in use


def test_a_paused_server_ends_a_publish_in_time(open_session: OpenSession, queue: Queue, redis_url: str) -> None:
    session = open_session(publish_timeout=0.5)
    session.publish_many([publication(queue)])
    admin = connect(redis_url)
    admin.execute("CLIENT", "PAUSE", "600000", "WRITE")
    try:
        started = time.monotonic()
        with pytest.raises(PublishTimeout, match="may or may not"):
            session.publish_many([publication(queue) for _ in range(5)])
        assert 0.4 < time.monotonic() - started < 0.5 + SLACK
        with pytest.raises(SessionLost):
            session.publish_many([publication(queue)])
    finally:
        admin.execute("CLIENT", "UNPAUSE")
        admin.close()


def test_a_server_that_dribbles_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def dribble() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(b"%1\r\n")
                while not done.wait(0.05):
                    client.sendall(b"+")

        thread = threading.Thread(target=dribble)
        thread.start()
        started = time.monotonic()
        broker = open_broker(f"redis://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(OperationalError):
            broker.connect(timeout=0.5)
        assert time.monotonic() - started < 0.5 + SLACK
        done.set()
        thread.join()


def test_a_server_of_another_kind_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                client.recv(100)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(OperationalError):
            open_broker(f"redis://127.0.0.1:{listener.getsockname()[1]}").connect(timeout=PATIENCE)
        thread.join()


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("min-replicas-to-write", "1")])
def test_a_server_that_takes_no_writes_says_why(
    open_session: OpenSession, queue: Queue, redis_url: str, setting: tuple[str, str]
) -> None:
    session = open_session(queue)
    admin = connect(redis_url)
    admin.execute("CONFIG", "SET", *setting)
    try:
        with pytest.raises(OperationalError, match=r"out of memory|NOREPLICAS"):
            session.publish_many([publication(queue)])
    finally:
        admin.execute("CONFIG", "SET", setting[0], "0")
        admin.close()
    session.publish_many([publication(queue)])
    assert len(session.fetch(limit=5, wait=1)) == 1


def test_a_key_of_another_type_is_an_error_and_no_more(open_session: OpenSession, queue: Queue, redis_url: str) -> None:
    session = open_session()
    admin = connect(redis_url)
    admin.execute("SET", queue.name, "text")
    with pytest.raises(OperationalError, match="WRONGTYPE"):
        session.publish_many([publication(queue)])
    admin.execute("DEL", queue.name)
    session.publish_many([publication(queue)])
    admin.close()


def test_a_connection_that_breaks_ends_a_wait(open_session: OpenSession, queue: Queue, redis_url: str) -> None:
    session = open_session(queue)
    killer = threading.Timer(0.1, servers.redis_command, [redis_url, "CLIENT", "KILL", "TYPE", "normal"])
    killer.start()
    started = time.monotonic()
    with pytest.raises(SessionLost):
        session.fetch(limit=1, wait=10 * PATIENCE)
    assert time.monotonic() - started < SLACK
    killer.join()


def test_held_messages_return_after_a_connection_broke(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue, lease=0.3)
    session.publish_many([publication(queue)])
    session.fetch(limit=1, wait=1)
    session._connection.close()
    with pytest.raises(SessionLost):
        session.heartbeat()
    session.close()
    fresh = open_session(queue, sweep_interval=0)

    def returned() -> bool:
        fresh.heartbeat()
        return bool(fresh.fetch(limit=1, wait=0.05))

    wait_until(returned)


def test_a_resumed_session_ends_the_connection_it_takes_the_place_of(
    open_session: OpenSession, queue: Queue, redis_url: str
) -> None:
    old = open_session(queue)
    old.publish_many([publication(queue), publication(queue)])
    (held,) = old.fetch(limit=1, wait=1)
    new = open_broker(redis_url).connect(resume=old)
    with pytest.raises(SessionLost):
        old.fetch(limit=1, wait=0)
    new.consume([queue])
    assert len(new.fetch(limit=5, wait=1)) == 1
    new.requeue_many([held])
    assert [delivery.deliveries for delivery in new.fetch(limit=5, wait=1)] == [2]
    new.close()


def test_an_interrupted_command_does_not_shift_the_replies(
    open_session: OpenSession, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(queue)
    session.publish_many([publication(queue)])

    def interrupt(self: RespConnection, deadline: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(RespConnection, "_receive", interrupt)
        session.depths([queue.name])
    with pytest.raises(SessionLost):
        session.fetch(limit=1, wait=0)


def test_a_closed_session_is_closed(open_session: OpenSession, queue: Queue) -> None:
    session = open_session(queue)
    session.close()
    session.wake()
    with pytest.raises(SessionClosed):
        session.fetch(limit=1, wait=0)


# --- pools


def test_a_pool_replaces_a_connection_that_the_server_closed(redis_url: str) -> None:
    pool = RespPool(params_from_url(redis_url, connect_timeout=PATIENCE, timeout=PATIENCE))
    assert pool.run(lambda connection: connection.execute("PING")) == b"PONG"
    servers.redis_command(redis_url, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert pool.run(lambda connection: connection.execute("PING")) == b"PONG"
    pool.close()


def test_an_error_reply_leaves_a_connection_in_the_pool(redis_url: str) -> None:
    pool = RespPool(params_from_url(redis_url, connect_timeout=PATIENCE, timeout=PATIENCE))
    first = pool.run(lambda connection: connection.execute("CLIENT", "ID"))
    with pytest.raises(ReplyError, match="unknown command"):
        pool.run(lambda connection: connection.execute("NO-SUCH"))
    assert pool.run(lambda connection: connection.execute("CLIENT", "ID")) == first
    pool.close()


def test_a_bounded_pool_opens_no_more_connections(redis_url: str) -> None:
    pool = RespPool(
        params_from_url(redis_url, connect_timeout=PATIENCE, timeout=PATIENCE, options={"max_connections": 2})
    )
    seen: set[int] = set()

    def use() -> None:
        for _ in range(20):
            seen.add(pool.run(lambda connection: connection.execute("CLIENT", "ID")))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) <= 2
    pool.close()


def test_an_exhausted_pool_says_so(redis_url: str) -> None:
    options = {"max_connections": 1, "socket_timeout": 0.2}
    pool = RespPool(params_from_url(redis_url, connect_timeout=PATIENCE, timeout=PATIENCE, options=options))
    with pytest.raises(OperationalError, match="redis_max_connections"):
        pool.run(lambda _: pool.run(lambda connection: connection.execute("PING")))
    pool.close()
