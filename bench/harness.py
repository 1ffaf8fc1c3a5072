"""Control and accounting of a worker's process tree: start, freeze, thaw, CPU, memory, stop.

Reads /proc, so it works on Linux only.  It knows nothing of brokers, peers or scenarios.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: Seconds that a worker has for ending; what it does in them is not measured.
STOP_TIMEOUT = 5.0


class BenchError(Exception):
    """A run could not be completed; the message says what happened to whom."""


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of /proc/<pid>/stat that the harness needs; times in seconds."""

    pid: int
    parent: int
    session: int
    state: str
    cpu: float  # user + system, including the children waited for


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a whole tree in MiB."""

    rss: float
    pss: float


def read_stat(pid: int) -> ProcessStat | None:
    """Read one process; None when it has gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    ticks = sum(int(field) for field in fields[11:15])
    return ProcessStat(pid, int(fields[1]), int(fields[3]), fields[0].decode(), ticks / TICKS_PER_SECOND)


def all_processes() -> list[ProcessStat]:
    """Every process of the machine that could be read."""
    stats = (read_stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [stat for stat in stats if stat is not None]


def cpu_of(names: Sequence[str]) -> float:
    """CPU seconds used so far by all processes with one of these command names (15 characters)."""
    total = 0.0
    for stat in all_processes():
        try:
            name = Path(f"/proc/{stat.pid}/comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name in names:
            total += stat.cpu
    return total


class WorkerTree:
    """One or several worker commands with all their descendants.

    Args:
        commands: Argument vectors, one per root process.
        env: The whole environment of the roots.
        cwd: Their working directory.
        log: Receives their output.
    """

    def __init__(self, commands: Sequence[Sequence[str]], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self.started_at = time.monotonic_ns()
        with log.open("ab") as output:
            self._roots = [
                subprocess.Popen(
                    command,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                for command in commands
            ]

    def members(self) -> list[ProcessStat]:
        """All running processes of the tree."""
        return [stat for stat in self._family() if stat.state != "Z"]

    def _family(self) -> list[ProcessStat]:
        """Descendants of the roots and members of their sessions, ended but unreaped ones included."""
        roots = {root.pid for root in self._roots}
        stats = all_processes()
        children: dict[int, list[ProcessStat]] = {}
        for stat in stats:
            children.setdefault(stat.parent, []).append(stat)
        found = {stat.pid: stat for stat in stats if stat.pid in roots or stat.session in roots}
        queue = list(found.values())
        while queue:
            for child in children.get(queue.pop().pid, ()):
                if child.pid not in found:
                    found[child.pid] = child
                    queue.append(child)
        return list(found.values())

    def check_alive(self) -> None:
        """Raise BenchError when a root process has ended."""
        for root in self._roots:
            code = root.poll()
            if code is not None:
                raise BenchError(f"the worker ended with status {code}; its last output:\n{self.tail()}")

    def tail(self, lines: int = 12) -> str:
        """The last lines the worker wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def cpu(self) -> float:
        """CPU seconds (user + system) used by the tree so far, reaped children included."""
        return sum(stat.cpu for stat in self._family())

    def memory(self) -> Memory:
        """Resident and proportional memory of the tree."""
        rss = pss = 0
        for stat in self.members():
            try:
                text = Path(f"/proc/{stat.pid}/smaps_rollup").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            sizes = {line.split()[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
            rss += sizes["Rss:"]
            pss += sizes["Pss:"]
        return Memory(rss / 1024, pss / 1024)

    def freeze(self, timeout: float = 5.0) -> None:
        """Stop every process of the tree (SIGSTOP) and wait until all are stopped."""
        deadline = time.monotonic() + timeout
        while running := [stat for stat in self.members() if stat.state != "T"]:
            if time.monotonic() > deadline:
                raise BenchError(f"processes {[stat.pid for stat in running]} did not stop in {timeout} s")
            for stat in running:
                _signal(stat.pid, signal.SIGSTOP)
            time.sleep(0.005)

    def thaw(self) -> int:
        """Let the tree run again; returns the time of doing so (CLOCK_MONOTONIC, ns)."""
        members = self.members()
        now = time.monotonic_ns()
        for stat in reversed(members):
            _signal(stat.pid, signal.SIGCONT)
        return now

    def wait_quiet(self, *, window: float = 0.25, windows: int = 2, load: float = 0.05, timeout: float = 15.0) -> float:
        """Wait until the tree has used at most `load` of a core for some windows in a row.

        Args:
            window: Length of one observation in seconds.
            windows: Quiet observations needed in a row.
            load: CPU seconds per second below which the tree counts as quiet.
            timeout: After this many seconds the tree is taken as it is (pollers never rest).

        Returns:
            The time (CLOCK_MONOTONIC, seconds) at which the last busy observation ended.
        """
        deadline = time.monotonic() + timeout
        busy_until, before, quiet = time.monotonic(), self.cpu(), 0
        while quiet < windows and time.monotonic() < deadline:
            time.sleep(window)
            after = self.cpu()
            # One clock tick of difference is below what /proc can tell.
            if after - before > max(load * window, 1.5 / TICKS_PER_SECOND):
                busy_until, quiet = time.monotonic(), 0
            else:
                quiet += 1
            before = after
        return busy_until

    def idle_load(self, seconds: float = 1.0) -> float:
        """CPU seconds per second that the tree uses while nothing is to do."""
        before, start = self.cpu(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu() - before) / (time.monotonic() - start)

    def stop(self, timeout: float = STOP_TIMEOUT) -> bool:
        """End the tree: SIGTERM to the roots, SIGKILL to what is left after `timeout` seconds.

        Returns:
            Whether everything ended on SIGTERM.
        """
        self.thaw()
        # Taken first: a child in a session of its own is not found any more once its parent has gone.
        members = self.members()
        for root in self._roots:
            if root.poll() is None:
                root.terminate()
        clean = wait_until(lambda: not self._left(members), timeout, interval=0.02)
        for stat in self._left(members):
            _signal(stat.pid, signal.SIGKILL)
        for root in self._roots:
            root.wait()
        return clean

    def _left(self, before: Sequence[ProcessStat]) -> list[ProcessStat]:
        for root in self._roots:
            root.poll()
        known = {stat.pid: stat for stat in self.members()}
        for stat in before:
            now = read_stat(stat.pid)
            if now is not None and now.state != "Z" and now.session == stat.session:
                known[stat.pid] = now
        return list(known.values())


def wait_until(condition: Callable[[], bool], timeout: float, *, interval: float = 0.05) -> bool:
    """Poll a condition; False when it has not become true within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
