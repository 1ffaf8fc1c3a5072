"""``python -m tests.interop.faults``: the same faults for workers of Celery and of Celeriac, as a table in Markdown.

Tasks of 40 ms are sent 40 times a second by a client of the same library to a Redis server that writes everything to
disk. After three seconds something breaks. What has not run when nothing has happened for `QUIET` seconds is missing:
lost, or to come back after an hour, which is the visibility timeout of Celery on Redis. The silence is the longest time
in which no task ended.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.interop.fleet import CELERIAC, CELERY, Fleet
from tests.support import servers, wait_until
from tests.support.private import PrivateRedis
from tests.support.worker import RunningWorker, _children_of

if TYPE_CHECKING:
    from collections.abc import Callable

RATE, SECONDS = 40.0, 0.04
#: Seconds before the fault, after it, and without anything new at the end: longer than a lease of Celeriac's.
BEFORE, AFTER, QUIET = 3.0, 7.0, 45.0

VARIANTS: list[tuple[str, str, dict[str, Any]]] = [
    ("Celery", CELERY, {}),
    ("Celery, `task_acks_late`, `task_reject_on_worker_lost`", CELERY,
     {"task_acks_late": True, "task_reject_on_worker_lost": True}),
    ("Celeriac", CELERIAC, {}),
]  # fmt: skip


class Run:
    """One library that meets one fault."""

    def __init__(self, library: str, conf: dict[str, Any], directory: Path) -> None:
        self.library = library
        self.redis = PrivateRedis(directory)
        self.redis.start()
        self.fleet = Fleet({"broker_url": self.redis.url, "task_ignore_result": True, **conf}, directory)
        self.worker: RunningWorker = self.fleet.start_worker(library)

    def children(self) -> list[int]:
        """Processes of the pool."""
        return self.worker.children if self.library == CELERIAC else _children_of(self.worker.pid)

    def meet(self, fault: Callable[[Run], None]) -> tuple[int, int, int, float]:
        """Returns how many tasks were sent, are missing, began again, and the seconds without any."""
        ids: list[str] = []
        enough = threading.Event()

        def send() -> None:
            client = self.fleet.client(self.library)
            while not enough.wait(1.0 / RATE):
                with suppress(AssertionError):
                    ids.append(client.send("timed", SECONDS, queue=self.fleet.queue(self.library)))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        wait_until(lambda: self.fleet.ledger.count("end") >= RATE, what="tasks run")
        time.sleep(BEFORE)
        fault(self)
        time.sleep(AFTER)
        enough.set()
        thread.join()
        self._settle(ids)
        ended, started = self.fleet.ledger.by_id("end"), self.fleet.ledger.by_id("start")
        at = sorted(record["at"] for record in self.fleet.ledger.records("end"))
        deaf = max((later - earlier for earlier, later in itertools.pairwise(at)), default=0.0)
        return len(ids), len(set(ids) - set(ended)), sum(count - 1 for count in started.values()), deaf

    def _settle(self, ids: list[str]) -> None:
        """Wait until all has run, or nothing happens any more."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < QUIET and set(ids) - set(self.fleet.ledger.by_id("end")):
            count = len(self.fleet.ledger.records())
            if count != seen:
                seen, since = count, time.monotonic()
            time.sleep(0.5)

    def close(self) -> None:
        """End everything."""
        self.fleet.close()
        self.redis.close()


def kill_children(run: Run) -> None:
    """Five of them, one a second."""
    for _ in range(5):
        if children := run.children():
            with suppress(ProcessLookupError):
                os.kill(random.choice(children), signal.SIGKILL)
        time.sleep(1.0)


def kill_worker(run: Run) -> None:
    """A supervisor starts it again."""
    run.worker.kill()
    run.worker = run.fleet.start_worker(run.library)


def reset_connections(run: Run) -> None:
    """Three times in two seconds."""
    for _ in range(3):
        servers.redis_command(run.redis.url, "CLIENT", "KILL", "TYPE", "normal")
        time.sleep(0.7)


def restart_broker(run: Run) -> None:
    run.redis.kill()
    run.redis.start()


def pause_broker(run: Run) -> None:
    run.redis.pause()
    time.sleep(5.0)
    run.redis.resume()


def stop_worker(run: Run) -> None:
    """TERM, and another one is started at once."""
    old = run.worker
    run.worker = run.fleet.start_worker(run.library)
    old.stop()


FAULTS: dict[str, Callable[[Run], None]] = {
    "five children killed": kill_children,
    "worker killed, and started again": kill_worker,
    "worker replaced with TERM": stop_worker,
    "connections reset three times": reset_connections,
    "Redis killed, and started again": restart_broker,
    "Redis stopped for 5 s": pause_broker,
}


def main() -> int:
    out = sys.stdout
    out.write("| Fault | Worker | Sent | Missing | Begun again | Longest silence |\n|---|---|--:|--:|--:|--:|\n")
    for name, fault in FAULTS.items():
        for title, library, conf in VARIANTS:
            with tempfile.TemporaryDirectory() as directory:
                run = Run(library, conf, Path(directory))
                try:
                    sent, missing, again, deaf = run.meet(fault)
                finally:
                    run.close()
            out.write(f"| {name} | {title} | {sent} | {missing} | {again} | {deaf:.1f} s |\n")
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
