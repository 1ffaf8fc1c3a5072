"""Counts what Python executes for one `delay()` and for one task of a worker in the same process.

Run in a peer's environment as ``python -m bench.pathlen APP call|work``, on the memory broker.  It counts
calls of Python functions, not time.

A step that a worker takes once for a batch is on the path of no single task: its calls count, by their share, but
its functions and files are listed apart.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import sysconfig
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import marks

if TYPE_CHECKING:
    from types import CodeType, FrameType

    from bench.apps.common import Client

WARM = 50
COUNTED = 100
OWN = str(Path(__file__).parent)
STDLIB = sysconfig.get_path("stdlib")


def _counts(file: str) -> bool:
    """Whether a file belongs to the queue or its dependencies, not to Python or to the benchmark."""
    if file.startswith((OWN, "<frozen")):
        return False
    return "site-packages" in file or not file.startswith(STDLIB)


class PathCounter:
    """A profile function that counts calls, functions, files, and switches from one file to another.

    Code of the standard library and of the benchmark is left out.
    """

    #: Calls per task from which a function is on the path of a task.
    SHARE = 0.5

    def __init__(self) -> None:
        self.on = False
        self.calls = self.builtin_calls = self.switches = 0
        self.functions: Counter[int] = Counter()
        self._codes: dict[int, CodeType] = {}  # keeps code objects alive, so that their ids stay unique
        self._last = ""

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if not self.on:
            return
        if event == "c_call":
            self.builtin_calls += 1
        if event != "call":
            return
        code = frame.f_code
        file = code.co_filename
        if not _counts(file):
            return
        self.calls += 1
        self.functions[id(code)] += 1
        self._codes[id(code)] = code
        if file != self._last:
            self.switches += 1
            self._last = file

    def summary(self, tasks: int) -> dict[str, float]:
        """Counts per task."""
        path = [number for number, calls in self.functions.items() if calls >= self.SHARE * tasks]
        return {
            "calls": self.calls / tasks,
            "functions": len(path),
            "files": len({self._codes[number].co_filename for number in path}),
            "batch_functions": len(self.functions) - len(path),
            "switches": self.switches / tasks,
            "builtin_calls": self.builtin_calls / tasks,
        }


def measure_call(client: Client) -> dict[str, float]:
    """Count over some calls after a warm-up."""
    for index in range(WARM):
        client.send(index)
    counter = PathCounter()
    sys.setprofile(counter)
    for index in range(COUNTED):
        counter.on = True
        client.send(index)
        counter.on = False
    sys.setprofile(None)
    return counter.summary(COUNTED)


def measure_work(client: Client) -> None:
    """Count, in all threads, from the mark of one task to the mark of a later one; ends the process."""
    counter = PathCounter()

    def on_mark(index: int) -> None:
        if index == WARM:
            counter.on = True
        elif index == WARM + COUNTED:
            counter.on = False
            _print({"work": counter.summary(COUNTED)})
            os._exit(0)

    for index in range(WARM + COUNTED + 20):
        client.send(index)
    marks.hook = on_mark
    threading.setprofile(counter)
    sys.setprofile(counter)
    client.work(WARM + COUNTED + 20)


def _print(value: object) -> None:
    # Workers may have replaced sys.stdout by a logger.
    os.write(1, json.dumps(value).encode() + b"\n")


def main(argv: list[str]) -> int:
    """Measure one app."""
    part = argv[1]
    client: Any = importlib.import_module(argv[0]).client
    if part == "call":
        _print({"call": measure_call(client)})
        os._exit(0)
    measure_work(client)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
