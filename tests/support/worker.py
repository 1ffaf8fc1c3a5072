"""Worker processes under test: started with settings, observed through their log and /proc, stopped or killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.ledger import Ledger
from tests.support.waiting import PATIENCE, wait_until
from tests.support.zoo import make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from celeriac import Celery
    from celeriac.message import DeadLetter

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class RunningWorker:
    """A worker process.

    Attributes:
        process: The process.
        log_path: Its output, both streams.
    """

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        """Process id of the coordinator."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has printed."""
        return self.log_path.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def wait_ready(self) -> RunningWorker:
        """Wait until it consumes."""
        wait_until(lambda: " ready." in self.log or not self.alive, what="the worker is ready")
        assert self.alive, f"the worker ended with status {self.process.returncode}:\n{self.log}"
        return self

    @property
    def spawner(self) -> int | None:
        """Process id of the spawner."""
        found = _children_of(self.pid)
        return found[0] if found else None

    @property
    def children(self) -> list[int]:
        """Process ids of the children of the pool."""
        spawner = self.spawner
        return _children_of(spawner) if spawner is not None else []

    def send(self, number: int) -> None:
        """Send a signal to the coordinator."""
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; returns the exit status."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; returns the exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {PATIENCE} s:\n{self.log[-4000:]}") from None

    def kill(self) -> None:
        """End it and all its processes without asking."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()

    def rss_kib(self) -> int:
        """Resident size of the coordinator."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _children_of(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_running(pid: int) -> bool:
    """The process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass
class Workshop:
    """An application with its ledger, and the workers started for it.

    Attributes:
        conf: Settings of the application and of every worker.
        directory: For the ledger, logs and gates.
        worker_conf: Settings of the workers alone.
    """

    conf: dict[str, Any]
    directory: Path
    worker_conf: dict[str, Any] = field(default_factory=dict)
    workers: list[RunningWorker] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.directory / "ledger")
        client_conf = {name: value for name, value in self.conf.items() if name != "record_signals"}
        self.app: Celery = make_app(client_conf, str(self.ledger.path))
        self.task: Callable[[str], Any] = self.app.tasks.__getitem__

    def start(self, *, wait: bool = True, env: dict[str, str] | None = None, **options: Any) -> RunningWorker:
        """Start a worker.

        Args:
            wait: Return when it is ready.
            env: Further environment.
            **options: Of `WorkerOptions`; ``conf`` is a mapping of further settings, ``change`` one of settings that
                are changed later.
        """
        number = len(self.workers)
        conf = {**self.conf, **self.worker_conf, **options.pop("conf", {})}
        options = {"hostname": f"w{number}@test", "concurrency": 2, "loglevel": "INFO", "no_color": True} | options
        told = self.directory / f"worker{number}.json"
        change = options.pop("change", {})
        told.write_text(
            json.dumps({"conf": conf, "ledger": str(self.ledger.path), "options": options, "change": change})
        )
        log_path = self.directory / f"worker{number}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.run_worker", str(told)],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            )  # fmt: skip
        worker = RunningWorker(process, log_path)
        self.workers.append(worker)
        return worker.wait_ready() if wait else worker

    def dead_letters(self) -> list[DeadLetter]:
        """What the broker has set aside."""
        session = self.app.broker_for_read.connect()
        try:
            return session.dead_letters(limit=1000)
        finally:
            session.close()

    def depth(self) -> int:
        """Messages that wait in the default queue."""
        session = self.app.broker_for_read.connect()
        try:
            name = self.app.conf.task_default_queue
            return session.depths([name])[name]
        finally:
            session.close()

    def gate(self, name: str = "gate") -> Path:
        """A path on whose existence a task waits; `Path.touch` opens it."""
        return self.directory / name

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            worker.kill()
        self.app.close()


@contextlib.contextmanager
def workshops(directory: Path) -> Iterator[Callable[..., Workshop]]:
    """Makes workshops of given settings, and closes them in the end; the test starts the workers."""
    made: list[Workshop] = []

    def make(conf: Mapping[str, Any], worker_conf: Mapping[str, Any] | None = None) -> Workshop:
        own = directory / f"shop{len(made)}"
        own.mkdir()
        made.append(Workshop(dict(conf), own, dict(worker_conf or {})))
        return made[-1]

    try:
        yield make
    finally:
        for workshop in made:
            workshop.close()


@contextlib.contextmanager
def shared_worker(conf: Mapping[str, Any], directory: Path) -> Iterator[Workshop]:
    """A workshop with one running worker of two children, for tests that leave it as they found it."""
    workshop = Workshop(dict(conf), directory)
    try:
        worker = workshop.start(concurrency=2)
        yield workshop
        assert worker.alive, worker.log[-4000:]
        assert "CRITICAL" not in worker.log, worker.log[-4000:]
    finally:
        workshop.close()
