"""Empties the benchmark's own corner of Redis and RabbitMQ with the few commands needed for it.

Speaks both protocols itself, because the harness runs without any client library.  It never touches other
databases or queues.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import struct
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bench.harness import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/9")
REDIS_RESULTS_URL = os.environ.get("BENCH_REDIS_RESULTS_URL", "redis://127.0.0.1:6379/10")
AMQP_URL = os.environ.get("BENCH_AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2F")
POSTGRES_URL = os.environ.get("BENCH_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/celeriac_bench")
QUEUE = "celeriac-bench"
SERVER_NAMES = {
    "redis": ("redis-server",),
    "rabbitmq": ("beam.smp",),
    "postgres": ("postgres",),
    "sqlite": (),
}


def redis_command(url: str, *words: str) -> bytes:
    """Send one command to the database of a Redis URL and return its reply, a bulk string without its length.

    Raises:
        BenchError: Redis refused it.
    """
    parts = urlsplit(url)
    database = parts.path.strip("/") or "0"
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=30) as sock:
        reader = sock.makefile("rb")
        reply = b""
        for command in (("SELECT", database), words):
            encoded = [word.encode() for word in command]
            sock.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
            reply = reader.readline().rstrip()
            if reply.startswith(b"-"):
                raise BenchError(f"Redis answered {reply.decode()!r} to {' '.join(command)}")
        return reader.read(int(reply[1:])) if reply.startswith(b"$") else reply


def flush_redis() -> None:
    """Empty the benchmark's own two Redis databases."""
    for url in (REDIS_URL, REDIS_RESULTS_URL):
        redis_command(url, "FLUSHDB")


def redis_received() -> int:
    """Bytes that the Redis server has received so far from all clients."""
    for text in redis_command(REDIS_URL, "INFO", "stats").decode().splitlines():
        if text.startswith("total_net_input_bytes:"):
            return int(text.partition(":")[2])
    raise BenchError("Redis does not tell total_net_input_bytes in INFO stats")


def floor_rate(seconds: float = 0.15, size: int = 950) -> float:
    """Bare round trips per second to Redis with a value of a message's size: how fast the machine is just now."""
    parts = urlsplit(REDIS_URL)
    request = b"*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n" % (size, b"x" * size)
    reply_size = len(b"$%d\r\n\r\n" % size) + size
    with socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = sock.makefile("rb")
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            sock.sendall(request)
            reader.read(reply_size)
            count += 1
    return count / elapsed


# Queues are lists, streams or sorted sets, depending on the library; the longest one is the queue.
# No KEYS, no ARGV; returns an integer.  It runs alone in a database of the benchmark's own.
_LONGEST = """
local longest = 0
local commands = {list = 'LLEN', stream = 'XLEN', zset = 'ZCARD', hash = 'HLEN'}
for _, key in ipairs(redis.call('KEYS', '*')) do
    local command = commands[redis.call('TYPE', key).ok]
    if command then longest = math.max(longest, redis.call(command, key)) end
end
return longest
"""


def depth(broker: str, sqlite_file: Path) -> int:
    """How many tasks are waiting on Redis, RabbitMQ or SQLite: the length of the longest structure there."""
    if broker == "redis":
        return int(redis_command(REDIS_URL, "EVAL", _LONGEST, "0")[1:])
    if broker == "rabbitmq":
        with AMQPConnection(AMQP_URL) as connection:
            reply = connection.call(50, 10, struct.pack(">H", 0) + _short(QUEUE) + b"\x01" + bytes(4))
        return int(struct.unpack(">I", reply[1 + reply[0] : 5 + reply[0]])[0])
    with closing(sqlite3.connect(sqlite_file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        counts = [connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for (name,) in tables]  # noqa: S608
    return max(counts, default=0)


def delete_queues(names: Sequence[str]) -> None:
    """Delete queues and the exchanges of the same names from RabbitMQ; absent ones are no error."""
    with AMQPConnection(AMQP_URL) as connection:
        for name in names:
            connection.call(50, 40, struct.pack(">H", 0) + _short(name) + b"\x00")
            connection.call(40, 20, struct.pack(">H", 0) + _short(name) + b"\x00")


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _version_in(start_arguments: bytes) -> str:
    """The long string under the key ``version`` of the server properties in connection.start."""
    _, found, rest = start_arguments.partition(b"\x07versionS")
    return rest[4 : 4 + struct.unpack(">I", rest[:4])[0]].decode() if found else "unknown"


class AMQPConnection:
    """A connection with one channel, enough to delete queues (AMQP 0-9-1, sections 2.2 and 4.2)."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    def __enter__(self) -> AMQPConnection:
        url = self._url
        self._sock = socket.create_connection((url.hostname or "127.0.0.1", url.port or 5672), timeout=30)
        self._reader = self._sock.makefile("rb")
        self._sock.sendall(b"AMQP\x00\x00\x09\x01")
        self.server_version = _version_in(self._receive())
        login = f"\0{unquote(url.username or 'guest')}\0{unquote(url.password or 'guest')}".encode()
        response = struct.pack(">I", len(login)) + login
        self._send(0, 10, 11, struct.pack(">I", 0) + _short("PLAIN") + response + _short("en_US"))
        self._receive()
        self._send(0, 10, 31, struct.pack(">HIH", 2047, 131072, 0))
        vhost = unquote(url.path[1:]) or "/"
        self._send(0, 10, 40, _short(vhost) + b"\x00\x00")
        self._receive()
        self.call(20, 10, b"\x00")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.close()
        self._sock.close()

    def call(self, class_id: int, method_id: int, arguments: bytes) -> bytes:
        """Call a method on the channel and return the arguments of its reply."""
        self._send(1, class_id, method_id, arguments)
        return self._receive()

    def _send(self, channel: int, class_id: int, method_id: int, arguments: bytes) -> None:
        payload = struct.pack(">HH", class_id, method_id) + arguments
        self._sock.sendall(struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce")

    def _receive(self) -> bytes:
        while True:
            header = self._reader.read(7)
            if len(header) < 7:
                raise BenchError("RabbitMQ closed the connection; check BENCH_AMQP_URL and the permissions")
            kind, _, size = struct.unpack(">BHI", header)
            payload = self._reader.read(size + 1)[:-1]
            if kind == 1:
                break
        class_id, method_id = struct.unpack(">HH", payload[:4])
        if (class_id, method_id) in {(10, 50), (20, 40)}:
            code = struct.unpack(">H", payload[4:6])[0]
            text = payload[7 : 7 + payload[6]].decode(errors="replace")
            raise BenchError(f"RabbitMQ refused a command with {code}: {text}")
        return payload[4:]


def versions() -> list[str]:
    """The versions of the servers that answer, for the report."""
    found = []
    try:
        found.append(f"Redis {_redis_version()}")
    except (OSError, BenchError):
        found.append("Redis not reachable")
    try:
        with AMQPConnection(AMQP_URL) as connection:
            found.append(f"RabbitMQ {connection.server_version}")
    except (OSError, BenchError):
        found.append("RabbitMQ not reachable")
    found.append(f"PostgreSQL {_postgres_version()}")
    return found


def _postgres_version() -> str:
    if shutil.which("psql") is None:
        return "of unknown version (no psql here)"
    done = subprocess.run(
        ["psql", POSTGRES_URL.rpartition("/")[0] + "/postgres", "-Atc", "SHOW server_version"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "not reachable"


def _redis_version() -> str:
    for text in redis_command(REDIS_URL, "INFO", "server").decode().splitlines():
        if text.startswith("redis_version:"):
            return text.partition(":")[2].strip()
    return "unknown"
