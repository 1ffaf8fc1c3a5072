"""An append-only file in which tasks write down what they did, and the checks of delivery promises made on it.

Each record is one line, written by one `write()` to a file opened with ``O_APPEND``: records of several processes
never mix, and what a killed process wrote before it died is there.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class Ledger:
    """The file.

    Args:
        path: Where it is; made when the first record is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._offset = 0
        self._records: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()

    def write(self, what: str, **fields: Any) -> None:
        """Add a record; the time and the process are added to it."""
        record = {"what": what, "at": time.time(), "pid": os.getpid(), **fields}
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, json.dumps(record).encode() + b"\n")
        finally:
            os.close(fd)

    def records(self, what: str | None = None, **fields: Any) -> list[dict[str, Any]]:
        """The records of a kind whose fields have these values, oldest first."""
        self._read()
        return [
            record
            for record in self._records
            if what in (None, record["what"]) and all(record.get(name) == value for name, value in fields.items())
        ]

    def count(self, what: str, **fields: Any) -> int:
        """How many such records there are."""
        if fields:
            return len(self.records(what, **fields))
        self._read()
        return self._counts[what]

    def _read(self) -> None:
        """Take in what was added since the last look: tests of hours look thousands of times."""
        with self._lock, suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._offset)
            # A record that is just being written may be seen in part; it has no end of line yet.
            whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._offset += len(whole) + 1
                added = [json.loads(line) for line in whole.split(b"\n")]
                self._records += added
                self._counts.update(record["what"] for record in added)

    def by_id(self, what: str, **fields: Any) -> Counter[str]:
        """How many records of a kind, whose fields have these values, each task id has."""
        return Counter(record["id"] for record in self.records(what, **fields))


def check_at_least_once(ledger: Ledger, published: Iterable[str], *, max_starts: int = 5) -> None:
    """Every published task ran to its end, nothing else ran, and none was begun more often than allowed."""
    ids = set(published)
    started, ended = ledger.by_id("start"), ledger.by_id("end")
    lost = ids - set(ended)
    assert not lost, f"{len(lost)} of {len(ids)} tasks were lost: {sorted(lost)[:5]}"
    phantoms = set(started) - ids
    assert not phantoms, f"{len(phantoms)} tasks ran that nobody published: {sorted(phantoms)[:5]}"
    often = {task_id: count for task_id, count in started.items() if count > max_starts}
    assert not often, f"tasks were begun more than {max_starts} times: {often}"


def check_at_most_once(ledger: Ledger, published: Iterable[str] | None = None) -> None:
    """No task was begun twice, and nothing ran that was not published.

    Args:
        ledger: What happened.
        published: Ids that were given to tasks; None where that is not known.
    """
    started = ledger.by_id("start")
    ids = set(started if published is None else published)
    twice = {task_id: count for task_id, count in started.items() if count > 1}
    assert not twice, f"tasks were begun more than once: {twice}"
    phantoms = set(started) - ids
    assert not phantoms, f"{len(phantoms)} tasks ran that nobody published: {sorted(phantoms)[:5]}"


def repeats(ledger: Ledger) -> int:
    """How many starts were repetitions."""
    return sum(count - 1 for count in ledger.by_id("start").values())
