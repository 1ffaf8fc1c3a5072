"""One measured run: a variant's environment, its empty broker, its marks, its client and its worker.

Scenarios decide what to do in a run; this module only provides the means and cleans up afterwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from bench import servers, venvs
from bench.harness import STOP_TIMEOUT, BenchError, WorkerTree, wait_until
from bench.marks import ENV as MARKS_ENV
from bench.marks import Marks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.peers.base import Peer, Variant

CLIENT_TIMEOUT = 600.0
NO_PROGRESS = 30.0
WARM_TASKS = 40
STALL_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What a client action cost its process, in seconds, and what it returned."""

    wall: float
    cpu: float
    value: Any
    bulk_call: str


@dataclass(slots=True)
class Run:
    """The surroundings of one measurement; use as a context manager.

    Attributes:
        peer: Whose run it is.
        variant: In which configuration.
        broker: ``redis``, ``rabbitmq``, ``sqlite``, ``postgres`` or ``memory``.
        results: Whether results are stored (in Redis for RabbitMQ, else beside the tasks).
        directory: An empty directory for its files.
        slots: How many tasks can leave marks.
        client_peer: The peer whose client enqueues, if it is not the worker's own.
    """

    peer: Peer
    variant: Variant
    broker: str
    results: bool
    directory: Path
    slots: int = 0
    client_peer: Peer | None = None
    problems: list[str] = field(default_factory=list)
    _tree: WorkerTree | None = None
    _marks: Marks | None = None

    def __enter__(self) -> Self:
        self.clean()
        if self.slots:
            self._marks = Marks.create(self.directory / "marks", self.slots)
        if self.broker == "postgres":
            self.client("prepare")
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._tree is not None and not self._tree.stop():
            self.problems.append(f"the worker had to be killed: it did not end within {STOP_TIMEOUT:.0f} s of SIGTERM")
        if self._marks is not None:
            self._marks.close()
        self.clean()

    @property
    def tree(self) -> WorkerTree:
        """The running worker."""
        if self._tree is None:
            raise BenchError("the run has no worker yet")
        return self._tree

    @property
    def marks(self) -> Marks:
        """The marks of the run's tasks."""
        if self._marks is None:
            raise BenchError("the run was made without slots for marks")
        return self._marks

    def clean(self) -> None:
        """Empty the benchmark's own databases and queues."""
        servers.flush_redis()
        if self.broker == "rabbitmq":
            servers.delete_queues(self.peer.queues)
        for path in self.directory.glob("tasks.db*"):
            path.unlink()

    def urls(self) -> tuple[str, str | None]:
        """The broker's URL and, with results on, the result store's."""
        sqlite = f"sqlite:///{self.directory / 'tasks.db'}"
        broker, result = {
            "redis": (servers.REDIS_URL, servers.REDIS_RESULTS_URL),
            "rabbitmq": (servers.AMQP_URL, servers.REDIS_RESULTS_URL),
            "sqlite": (sqlite, sqlite),
            "postgres": (servers.POSTGRES_URL, f"db+{servers.POSTGRES_URL}"),
            "memory": ("memory://", None),
        }[self.broker]
        return broker, result if self.results else None

    def env(self, peer: Peer | None = None) -> dict[str, str]:
        """The environment of the run's processes."""
        peer = peer or self.peer
        broker, result = self.urls()
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TZ") if name in os.environ}
        env |= {
            "PYTHONPATH": str(venvs.ROOT),
            "BENCH_KIND": self.broker,
            "BENCH_BROKER_URL": broker,
            "BENCH_QUEUE": servers.QUEUE,
        }
        if result:
            env["BENCH_RESULT_URL"] = result
        if self.slots:
            env[MARKS_ENV] = str(self.directory / "marks")
        return env | dict(peer.env) | dict(self.variant.env)

    def client(self, action: str, **arguments: object) -> Cost:
        """Run one action of `bench.client` in a process of its own.

        Raises:
            BenchError: The client failed or took longer than ten minutes.
        """
        peer = self.client_peer or self.peer
        output = self.program("-m", "bench.client", peer.app, action, json.dumps(arguments), peer=peer)
        return Cost(**json.loads(output.splitlines()[-1]))

    def program(self, *arguments: str, peer: Peer | None = None, timeout: float = CLIENT_TIMEOUT) -> str:
        """Run Python with arguments in the peer's environment and return what it printed."""
        peer = peer or self.peer
        command = [str(venvs.bin_dir(peer.name) / "python"), *arguments]
        try:
            done = subprocess.run(
                command,
                env=self.env(peer),
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise BenchError(f"the client did not finish within {timeout:.0f} s") from exc
        if done.returncode:
            raise BenchError(f"the client ended with status {done.returncode}: {last_words(done.stderr)}")
        return done.stdout

    def start_worker(self) -> WorkerTree:
        """Start the variant's worker processes."""
        broker, _ = self.urls()
        home = venvs.bin_dir(self.peer.name)
        command = [part.format(bin=home, broker=broker) for part in self.variant.worker]
        self._tree = WorkerTree(
            [command] * self.variant.copies,
            env=self.env(),
            cwd=self.directory,
            log=self.directory / "worker.log",
        )
        return self._tree

    def warm_up(self, start: int = 0, count: int = WARM_TASKS) -> float:
        """Enqueue some tasks, start the worker, wait for them; seconds from start to the first task."""
        self.client("send", start=start, count=count)
        tree = self.start_worker()
        missing = self.wait_marks(start, start + count)
        if missing:
            raise BenchError(f"{missing} of {count} warm-up tasks did not run; the worker wrote:\n{tree.tail()}")
        tree.wait_quiet()
        return (min(self.marks.times(start, start + count)) - tree.started_at) / 1e9

    def wait_marks(self, start: int, stop: int, *, patience: float = NO_PROGRESS) -> int:
        """Wait until tasks have run; gives up after `patience` seconds without any progress.

        Returns:
            How many have not run.
        """
        missing, progress_at = stop - start, time.monotonic()
        while missing:
            time.sleep(0.05)
            before, missing = missing, self.marks.missing(start, stop)
            if missing < before:
                progress_at = time.monotonic()
            elif time.monotonic() - progress_at > patience:
                break
            self.tree.check_alive()
        return missing

    def check_arrival(self, count: int, *, patience: float = 10.0) -> None:
        """Record as a problem that fewer than `count` tasks wait on the broker, with nothing consuming."""
        wait_until(lambda: self._depth() >= count, patience, interval=0.2)
        if (arrived := self._depth()) < count:
            self.problems.append(f"{count - arrived} of {count} tasks were lost on the way to the broker")

    def _depth(self) -> int:
        if self.broker == "postgres":
            return int(self.client("rows").value)
        return servers.depth(self.broker, self.directory / "tasks.db")

    def note_losses(self, missing: int, count: int) -> None:
        """Record lost and repeated tasks as problems of the run."""
        if missing:
            self.problems.append(f"{missing} of {count} tasks were lost (no progress for {NO_PROGRESS:.0f} s)")
        if self.marks.repeated:
            self.problems.append(f"{self.marks.repeated} tasks ran more than once")


def last_words(output: str, lines: int = 7) -> str:
    """The last line of some output, and before it, for the report, a few more of its lines."""
    tail = [line for line in output.splitlines() if line.strip()][-lines:]
    return "\n".join([tail[-1].strip(), *tail[:-1]]) if tail else "(no output)"


def rate(times: Sequence[int]) -> float:
    """Tasks per second between the first and the last mark."""
    done = [time_ns for time_ns in times if time_ns]
    return (len(done) - 1) / (max(done) - min(done)) * 1e9 if len(done) > 1 else 0.0


def stalled(times: Sequence[int]) -> float:
    """Seconds of all pauses of more than one second between two neighbouring marks."""
    done = sorted(time_ns for time_ns in times if time_ns)
    gaps = (after - before for before, after in pairwise(done))
    return sum(gap for gap in gaps if gap > STALL_NS) / 1e9
