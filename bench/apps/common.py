"""What every benchmark app shares: its settings from the environment and the loops that call it.

It holds no queue-specific code.  Standard library only, because every peer's environment imports it.
"""

from __future__ import annotations

import os
import time
from typing import Any, NamedTuple

KEPT_TOKENS = 20
RESULT_TIMEOUT = 30.0


class Settings(NamedTuple):
    """The run's settings, as the harness passed them.

    Attributes:
        kind: ``redis``, ``rabbitmq``, ``sqlite``, ``postgres`` or ``memory``.
        broker_url: Where tasks go.
        result_url: Where results go; None when results are off.
        queue: Name of the benchmark's own queue.
        confirm: Whether publishes wait for the broker's confirmation; None leaves the library's default.
    """

    kind: str
    broker_url: str
    result_url: str | None
    queue: str
    confirm: bool | None

    @classmethod
    def from_env(cls) -> Settings:
        """Read the ``BENCH_*`` variables."""
        confirm = os.environ.get("BENCH_CONFIRM")
        return cls(
            kind=os.environ.get("BENCH_KIND", "memory"),
            broker_url=os.environ.get("BENCH_BROKER_URL", "memory://"),
            result_url=os.environ.get("BENCH_RESULT_URL") or None,
            queue=os.environ.get("BENCH_QUEUE", "celeriac-bench"),
            confirm=None if confirm is None else confirm == "1",
        )

    @property
    def results(self) -> bool:
        """Whether results are stored."""
        return self.result_url is not None

    def path(self) -> str:
        """The file of an SQLite URL."""
        return self.broker_url.removeprefix("sqlite:///")


SETTINGS = Settings.from_env()


class Client:
    """A client of one queue; apps override `send` and whatever else their library can do.

    A *handle* is what the library returns for a call; a *token* names the same call in another process.
    """

    bulk_call = ""

    def prepare(self) -> None:
        """Create what the servers need before the first worker or client (schemas)."""

    def rows(self) -> int:
        """The number of tasks in the queue's PostgreSQL table."""
        raise NotImplementedError

    def send(self, index: int) -> Any:
        """Enqueue the task that marks `index`."""
        raise NotImplementedError

    def send_hold(self, index: int, seconds: float) -> None:
        """Enqueue the task that sleeps and then marks `index`."""
        raise NotImplementedError

    def send_sleeps(self, start: int, count: int, seconds: float) -> None:
        """Enqueue tasks that sleep and then mark; where it can, as coroutines."""
        raise NotImplementedError

    def send_delayed(self, index: int, seconds: float) -> None:
        """Enqueue the task that marks `index` in `seconds` from now."""
        raise NotImplementedError

    def send_bulk(self, start: int, count: int) -> None:
        """Enqueue `count` tasks by the library's own bulk call."""
        raise NotImplementedError

    def wait(self, handle: Any) -> Any:
        """Wait for the result of a call."""
        raise NotImplementedError

    def token(self, handle: Any) -> str:
        """Name a call for another process."""
        raise NotImplementedError

    def fetch(self, token: str) -> Any:
        """The stored result of a finished call."""
        raise NotImplementedError

    def workflow(self, kind: str, times: int, arguments: dict[str, int]) -> list[float]:
        """Run a workflow of `bench.apps.workflows` and wait for its result; seconds of each time."""
        raise NotImplementedError

    def submit_group(self, size: int) -> int:
        """Submit a group with nothing consuming; MiB by which the process has grown."""
        raise NotImplementedError

    def work(self, count: int) -> None:
        """Run `count` enqueued tasks by a worker inside this process; the memory broker only."""
        raise NotImplementedError

    def send_range(self, start: int, count: int) -> list[str]:
        """Enqueue tasks one call at a time; returns tokens of the last ones if results are stored."""
        send = self.send
        stop = start + count
        kept = max(start, stop - KEPT_TOKENS)
        for index in range(start, kept):
            send(index)
        handles = [send(index) for index in range(kept, stop)]
        return [self.token(handle) for handle in handles] if SETTINGS.results else []

    def fill(self, start: int, count: int) -> list[str]:
        """Enqueue tasks for a worker run, as `send_range` does or faster: the time it takes is not measured."""
        return self.send_range(start, count)

    def send_delayed_range(self, index: int, count: int, seconds: float) -> None:
        """Enqueue delayed tasks, all marking `index`, one call at a time."""
        for _ in range(count):
            self.send_delayed(index, seconds)

    def round_trips(self, start: int, count: int) -> list[int]:
        """Call and wait, one at a time; nanoseconds of each."""
        durations = []
        for index in range(start, start + count):
            before = time.perf_counter_ns()
            value = self.wait(self.send(index))
            durations.append(time.perf_counter_ns() - before)
            if value != index:
                raise AssertionError(f"task {index} returned {value!r}")
        return durations
