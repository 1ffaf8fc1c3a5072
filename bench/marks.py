"""Time marks that tasks leave in a shared memory-mapped file, one 8-byte slot per task.

Imported inside every peer's environment, so it uses the standard library only.  It does not decide which
task owns which slot: the client passes the index as the task's argument.
"""

from __future__ import annotations

import mmap
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ENV = "BENCH_MARKS"
SLOT = 8
_HEADER_SLOTS = 1  # slot 0 counts the tasks that ran again after they had left a mark


class Marks:
    """The marks of one run, shared by every process that maps the same file.

    Args:
        path: The file to map; it must exist with its full size.
    """

    def __init__(self, path: str | Path) -> None:
        # pathlib is not imported: what the task's module loads counts as memory of the worker.
        with open(path, "r+b") as file:  # noqa: PTH123
            self._map = mmap.mmap(file.fileno(), 0)
        self._slots = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls, path: Path, count: int) -> Marks:
        """Make a file of zeros for `count` tasks and map it."""
        path.write_bytes(bytes(SLOT * (count + _HEADER_SLOTS)))
        return cls(path)

    def leave(self, index: int) -> None:
        """Write the present time, in nanoseconds of CLOCK_MONOTONIC, into the slot of a task."""
        slots = self._slots
        now = time.monotonic_ns()
        if slots[index + 1]:
            slots[0] += 1
        else:
            slots[index + 1] = now

    @property
    def repeated(self) -> int:
        """How many tasks ran again after their first run (not exact under races, never zero by accident)."""
        return self._slots[0]

    def times(self, start: int, stop: int) -> list[int]:
        """The marks of the tasks `start` to `stop - 1`; 0 where the task has not run."""
        return self._slots[start + 1 : stop + 1].tolist()

    def missing(self, start: int, stop: int) -> int:
        """How many of the tasks `start` to `stop - 1` have not run."""
        return self.times(start, stop).count(0)

    def close(self) -> None:
        """Unmap the file."""
        self._slots.release()
        self._map.close()


hook: Callable[[int], None] | None = None


def _call_hook(index: int) -> None:
    if hook is not None:
        hook(index)


mark: Callable[[int], None] = Marks(os.environ[ENV]).leave if os.environ.get(ENV) else _call_hook
