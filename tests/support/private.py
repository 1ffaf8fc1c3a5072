"""Servers that a test owns: it may kill, pause and restart them at the same address with the same data."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

from tests.support import servers
from tests.support.waiting import PATIENCE, wait_until


class PrivateServer(Protocol):
    """What the chaos tests need of a server."""

    url: str

    def start(self) -> None:
        """Start it; returns when it answers."""

    def stop(self) -> None:
        """End it in order."""

    def kill(self) -> None:
        """End it with SIGKILL."""

    def pause(self) -> None:
        """Stop it with SIGSTOP."""

    def resume(self) -> None:
        """Continue it."""

    def close(self) -> None:
        """End it for good."""


class PrivateRedis:
    """A Redis server whose data outlive it: every write is in its log before it answers.

    Args:
        directory: For its data.
        port: Where it listens; None takes a free one.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.port = port or servers.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            servers.unavailable("redis-server is not installed")
            return
        # fmt: off
        self._process = subprocess.Popen(
            [program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "yes",
             "--appendfsync", "always", "--dir", str(self._directory)],
            stdout=subprocess.DEVNULL,
        )
        # fmt: on
        wait_until(self._answers, what=f"redis-server on port {self.port}")

    def _answers(self) -> bool:
        try:
            servers.redis_command(self.url, "PING")
        except (OSError, RuntimeError, IndexError):
            return False
        return True

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()


class PrivatePostgreSQL:
    """A PostgreSQL cluster of its own, in a directory of its own: its user may not enter pytest's.

    Args:
        directory: Not used.
    """

    def __init__(self, directory: Path) -> None:
        self.port = servers.free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._directory = Path(tempfile.gettempdir()) / servers.unique("celeriac_pgdata")
        self._process: subprocess.Popen[bytes] | None = None

    def _program(self, name: str) -> str:
        found = shutil.which(name) or next(
            (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
        )
        if found is None:
            servers.unavailable(f"{name} is not installed")
        return str(found)

    def _demote(self) -> None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() == 0:
            import pwd

            entry = pwd.getpwnam("postgres")
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)

    def start(self) -> None:
        # fmt: off
        if not self._directory.exists():
            self._directory.mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(self._directory, "postgres", "postgres")
            done = subprocess.run(
                [self._program("initdb"), "-D", str(self._directory), "-U", "postgres", "-A", "trust", "-N"],
                check=False, capture_output=True, preexec_fn=self._demote, timeout=PATIENCE, cwd="/",
            )
            assert done.returncode == 0, f"initdb: {done.stderr.decode()}"
        self._process = subprocess.Popen(
            [self._program("postgres"), "-D", str(self._directory), "-p", str(self.port), "-k", "",
             "-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=32MB", "-c", "max_connections=40"],
            preexec_fn=self._demote, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            start_new_session=True,
        )
        # fmt: on
        wait_until(self._answers, what=f"postgres on port {self.port}")

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url, connect_timeout=2) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _signal_all(self, number: int) -> None:
        """To the postmaster and to every backend, each of which is in a session of its own."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in [self._process.pid, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._signal_all(signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def pause(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class PrivateRabbitMQ:
    """A RabbitMQ node of its own.

    Args:
        directory: For its data.
    """

    def __init__(self, directory: Path) -> None:
        self.port, self._node_port = servers.free_port(), servers.free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._directory = directory / "rabbitmq"
        self._process: subprocess.Popen[bytes] | None = None

    def _environment(self) -> dict[str, str]:
        home = str(self._directory)
        return {
            **os.environ,
            "HOME": home,
            "RABBITMQ_NODENAME": f"celeriac{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_CONFIG_FILE": f"{home}/none",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-setcookie celeriac",
        }

    def start(self) -> None:
        # The program on the path changes to the user of the system's own node, which has no right to our directory.
        program = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        found = str(program) if program.exists() else shutil.which("rabbitmq-server")
        if found is None:
            servers.unavailable("rabbitmq-server is not installed")
            return
        self._directory.mkdir(exist_ok=True)
        (self._directory / "plugins").write_text("[].")
        self._process = subprocess.Popen(
            [found], env=self._environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        wait_until(self._answers, 2 * PATIENCE, what=f"RabbitMQ on port {self.port}")

    def _answers(self) -> bool:
        """It greets whoever says what protocol it speaks."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
                sock.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(sock.recv(1))
        except OSError:
            return False

    def _signal_group(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def stop(self) -> None:
        if self._process is not None:
            self._signal_group(signal.SIGTERM)
            self._process.wait(PATIENCE)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._signal_group(signal.SIGKILL)
            self._process.wait(PATIENCE)
            self._process = None

    def pause(self) -> None:
        self._signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_group(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
