"""Workers and clients of both libraries, as processes that share one broker, one result store and one ledger."""

from __future__ import annotations

import json
import os
import pickle
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.interop import environment
from tests.support.ledger import Ledger
from tests.support.servers import unique
from tests.support.worker import RunningWorker

if TYPE_CHECKING:
    from pathlib import Path

CELERY, CELERIAC = "celery", "celeriac"
LIBRARIES = (CELERY, CELERIAC)


def other(library: str) -> str:
    """The other library."""
    return CELERIAC if library == CELERY else CELERY


class Client:
    """A client process (`tests.interop.client`).

    Args:
        process: The process.
        log_path: Its standard error.
    """

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    def __call__(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of `tests.interop.client` there."""
        request = pickle.dumps((function, args, kwargs))
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(struct.pack("!I", len(request)) + request)
        stdin.flush()
        header = stdout.read(4)
        assert header, f"the client ended:\n{self._log_path.read_text()}"
        succeeded, value = pickle.loads(stdout.read(struct.unpack("!I", header)[0]))
        assert succeeded, f"{function}{args}{kwargs} raised in the client:\n{value}"
        return value

    def send(self, task: str, *args: Any, **options: Any) -> str:
        """Call a task; returns its id."""
        return str(self("send", task, *args, **options))

    def run(self, task: str, *args: Any, **options: Any) -> Any:
        """Call a task and await its outcome."""
        return self("outcome", self.send(task, *args, **options))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        self._process.wait()


@dataclass
class Fleet:
    """All processes of one set of settings.

    Attributes:
        conf: Settings of every process.
        directory: For the ledger, logs and gates.
    """

    conf: dict[str, Any]
    directory: Path
    workers: dict[str, RunningWorker] = field(default_factory=dict)
    _clients: dict[str, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.directory / "ledger")
        self.prefix = unique("interop")

    def queue(self, library: str) -> str:
        """The queue of the worker of a library."""
        return f"{self.prefix}.{library}"

    @property
    def common_queue(self) -> str:
        """The queue of both workers that all tests share."""
        return f"{self.prefix}.common"

    def start_worker(
        self, library: str, *options: str, queue: str | None = None, concurrency: int = 2, wait: bool = True,
        name: str | None = None, env: dict[str, str] | None = None, alone: bool = True, **conf: Any,
    ) -> RunningWorker:  # fmt: skip
        """Start a worker; further keywords are settings.

        Args:
            library: Which one.
            *options: Of its command line.
            queue: What it consumes; its `queue` by default.
            concurrency: Number of children.
            wait: Return when it is ready.
            name: Of the node and the log.
            env: Further environment.
            alone: A worker of Celery does not look for others before it starts.
            **conf: Settings.
        """
        if alone and library == CELERY:
            options = ("--without-mingle", "--without-gossip", *options)
        name = name or f"{library}{len(self.workers)}"
        log_path = self.directory / f"{name}.log"
        command = [
            self._python(library), "-m", library, "-A", "tests.interop.tasks", "worker", "-l", "INFO",
            "-n", f"{name}@interop", "-Q", queue or self.queue(library), "-c", str(concurrency), *options,
        ]  # fmt: skip
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=environment.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, env=self._environment(library, conf) | (env or {}),
            )  # fmt: skip
        worker = self.workers[name] = RunningWorker(process, log_path)
        return worker.wait_ready() if wait else worker

    def worker(self, library: str) -> RunningWorker:
        """The worker of a library that all tests share; consumes its `queue` and the `common_queue`."""
        name, queue = f"the-{library}", f"{self.queue(library)},{self.common_queue}"
        return self.workers.get(name) or self.start_worker(library, name=name, queue=queue, alone=False)

    def client(self, library: str) -> Client:
        """The client of a library that all tests share."""
        if library not in self._clients:
            self._clients[library] = self.start_client(library)
        return self._clients[library]

    def start_client(self, library: str, **conf: Any) -> Client:
        """Start another client with further settings; `close` it."""
        log_path = self.directory / f"client-{unique()}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [self._python(library), "-m", "tests.interop.client"], cwd=environment.ROOT, stderr=log,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment(library, conf),
            )  # fmt: skip
        return Client(process, log_path)

    def gate(self) -> Path:
        """A path on whose existence a task waits; `Path.touch` opens it."""
        return self.directory / unique("gate")

    def close(self) -> None:
        """End everything."""
        for client in self._clients.values():
            client.close()
        for worker in self.workers.values():
            worker.kill()

    def _python(self, library: str) -> str:
        return str(environment.ensure()) if library == CELERY else sys.executable

    def _environment(self, library: str, conf: dict[str, Any]) -> dict[str, str]:
        return {
            **os.environ,
            "INTEROP_LIBRARY": library,
            "INTEROP_CONF": json.dumps({**self.conf, **conf}),
            "INTEROP_LEDGER": str(self.ledger.path),
            "C_FORCE_ROOT": "1",
            "PYTHONPATH": os.pathsep.join([str(environment.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "PYTHONUNBUFFERED": "1",
        }
