"""The main job in one command: start a worker, call tasks from another process, read their results."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.tasks import add, fail, nap, unlucky

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
WORKER = ["-A", "examples.tasks", "worker", "--loglevel=INFO", "--concurrency=2"]
CALLS = 1000
#: Seconds that the worker may take to start and to stop, and a result to come.
PATIENCE = 30


def main() -> int:
    """Run the demonstration in a directory of its own, which it removes."""
    with tempfile.TemporaryDirectory(prefix="celeriac-demo-") as directory:
        # The embedded broker keeps its file in the user's state directory; a demonstration should leave none there.
        os.environ["XDG_STATE_HOME"] = directory
        log = Path(directory) / "worker.log"
        say("No server, no configuration: messages and results are kept in an SQLite file.")
        with worker(log):
            show_calls()
        quote(log)
    say("\nThe code is in examples/tasks.py and examples/demo.py; README.md goes on from here.")
    return 0


def show_calls() -> None:
    """Call tasks from this process; the worker runs them in two others."""
    show("add.delay(2, 3).get()", lambda: add.delay(2, 3).get(timeout=PATIENCE))
    show(
        "nap.apply_async((0.2,), countdown=1).get()",
        lambda: nap.apply_async((0.2,), countdown=1).get(timeout=PATIENCE),
    )
    show("unlucky.delay().get()", lambda: unlucky.delay().get(timeout=PATIENCE))
    show("fail.delay().get()", lambda: fail.delay().get(timeout=PATIENCE))
    show(
        f"sum(result.get() for result in [add.delay(n, 1) for n in range({CALLS})])",
        lambda: sum(result.get(timeout=PATIENCE) for result in [add.delay(n, 1) for n in range(CALLS)]),
    )


@contextmanager
def worker(log: Path) -> Iterator[None]:
    """A worker in a process of its own, stopped as a service manager would stop it.

    Args:
        log: File for what it prints.

    Raises:
        SystemExit: It did not start, or did not leave in order; with its log.
    """
    say(f"\n{bold('$ celeriac ' + ' '.join(WORKER))}")
    with log.open("w") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "celeriac", *WORKER], stdout=out, stderr=out, cwd=ROOT
        )
    try:
        wait_until_ready(process, log)
        yield
    finally:
        process.terminate()
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
    if status:
        raise SystemExit(f"The worker left with status {status}:\n{log.read_text()}")
    say(f"\n{bold('$ kill -TERM')}: the worker finished what it had begun, and left with status 0")


def wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the log line that says so.

    Args:
        process: The worker.
        log: Its log.

    Raises:
        SystemExit: It ended, or took too long; with its log.
    """
    began = time.monotonic()
    while not (ready := [line for line in log.read_text().splitlines() if line.endswith(" ready.")]):
        if process.poll() is not None or time.monotonic() > began + PATIENCE:
            raise SystemExit(f"The worker did not start:\n{log.read_text()}")
        time.sleep(0.02)
    say(f"  {ready[0]}")


def show(code: str, call: Callable[[], Any]) -> None:
    """Say what is called, what came of it and how long that took."""
    began = time.perf_counter()
    try:
        came = repr(call())
    except ValueError as exc:
        came = f"raises {exc!r}, as the task did"
    say(f"\n>>> {bold(code)}\n    {came}{dim(f'   # {time.perf_counter() - began:.3f} s')}")


def quote(log: Path) -> None:
    """Show some of the worker's log: a task that succeeded, one that was tried again, and one that failed."""
    lines = log.read_text().splitlines()
    say(f"\nFrom its log of {len(lines)} lines:")
    for wanted in ("received", "succeeded", "retry", "raised unexpected"):
        found = next((line for line in lines if wanted in line), None)
        if found is not None:
            say(f"  {found}")


def say(text: str) -> None:
    """Print at once, so that the order holds in a pipe too."""
    print(text, flush=True)


def bold(text: str) -> str:
    """Bold on a terminal."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def dim(text: str) -> str:
    """Faint on a terminal."""
    return f"\033[2m{text}\033[0m" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main())
