"""A Redis primary, its replica and a sentinel that watches them, for one test process."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support import servers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celeriac.drivers.resp import RespConnection

#: What the sentinel calls the primary.
NAME = "themaster"


@dataclass
class Watched:
    """The servers.

    Attributes:
        ports: Of the first primary and of its replica.
        sentinel_port: Of the sentinel.
    """

    ports: tuple[int, int]
    sentinel_port: int

    @property
    def url(self) -> str:
        """The result backend."""
        return f"sentinel://127.0.0.1:{self.sentinel_port}/1"

    def fail_over(self) -> None:
        """Make the replica the primary; returns when both servers are what they are to be.

        Until then the old one takes writes that are lost.
        """
        before = self.primary_port()
        with _connection(before) as connection:
            # Replication lags behind: what the replica has not got yet would be lost.
            connection.execute("SET", "last write before the failover", "1")
            wait_until(lambda: connection.execute("WAIT", 1, 500) >= 1, what="the replica has every write")
        wait_until(self._accepts_failover, what="the sentinel knows the replica", interval=0.1)
        wait_until(lambda: self.primary_port() != before, what="a new primary", interval=0.05)
        wait_until(lambda: _role(before) == b"slave", what="the old primary is a replica", interval=0.05)

    def primary_port(self) -> int:
        """Where the primary is, as the sentinel says."""
        with _connection(self.sentinel_port) as connection:
            return int(connection.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def _accepts_failover(self) -> bool:
        from celeriac.drivers.resp import ReplyError

        with _connection(self.sentinel_port) as connection:
            try:
                connection.execute("SENTINEL", "FAILOVER", NAME)
            except ReplyError:
                return False
            return True


@contextmanager
def _connection(port: int) -> Iterator[RespConnection]:
    from celeriac.drivers.resp import RespConnection
    from celeriac.drivers.resp_params import RespParams

    connection = RespConnection(RespParams(host="127.0.0.1", port=port))
    try:
        yield connection
    finally:
        connection.close()


def _role(port: int) -> bytes:
    with _connection(port) as connection:
        return bytes(connection.execute("ROLE")[0])


def _connected_replicas(port: int) -> int:
    with _connection(port) as connection:
        return len(connection.execute("ROLE")[2])


def _wait_for(port: int) -> None:
    wait_until(lambda: servers.answers("127.0.0.1", port), what=f"Redis on port {port}")


@contextmanager
def private_sentinel(directory: Path) -> Iterator[Watched]:
    """Start them; yields when the sentinel knows both servers."""
    program = shutil.which("redis-server")
    if program is None:
        servers.unavailable("redis-server is not installed")
        return
    watched = Watched((servers.free_port(), servers.free_port()), servers.free_port())
    primary, replica = watched.ports
    common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    # fmt: off
    commands = [
        [program, "--port", str(primary), *common, "--repl-diskless-sync-delay", "0"],
        [program, "--port", str(replica), *common, "--replicaof", "127.0.0.1", str(primary),
         "--repl-diskless-sync-delay", "0"],
    ]
    # fmt: on
    configuration = directory / "sentinel.conf"
    configuration.write_text(
        f"port {watched.sentinel_port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {NAME} 127.0.0.1 {primary} 1\n"
        f"sentinel down-after-milliseconds {NAME} 60000\nsentinel failover-timeout {NAME} 10000\n"
    )
    commands.append([program, str(configuration), "--sentinel"])
    with ExitStack() as stack:
        for command, port in zip(commands, (primary, replica, watched.sentinel_port), strict=True):
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            stack.callback(process.terminate)
            _wait_for(port)
            if port == replica:
                # A sentinel looks for replicas when it starts, and ten seconds later.
                wait_until(lambda: _connected_replicas(primary), what="the replica is connected")
        wait_until(watched.primary_port, what="the sentinel knows the primary")
        yield watched
