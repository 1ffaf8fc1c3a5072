"""The benchmark's control of real process trees."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from bench.harness import BenchError, WorkerTree, read_stat, wait_until
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PARENT = """
import subprocess, sys, time
subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.5: pass"])
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[WorkerTree]:
    made = WorkerTree([[sys.executable, "-c", PARENT]], env=os.environ, cwd=tmp_path, log=tmp_path / "log")
    assert wait_until(lambda: "ready" in (tmp_path / "log").read_text(), PATIENCE)
    yield made
    made.stop(timeout=0.1)


def test_tree_includes_children_in_sessions_of_their_own(tree: WorkerTree) -> None:
    assert len(tree.members()) == 2


def test_cpu_includes_reaped_children(tree: WorkerTree) -> None:
    assert tree.cpu() >= 0.45


def test_frozen_tree_is_stopped_until_thawed(tree: WorkerTree) -> None:
    tree.freeze()
    assert wait_until(lambda: {stat.state for stat in tree.members()} == {"T"}, PATIENCE)

    tree.thaw()
    assert wait_until(lambda: "T" not in {stat.state for stat in tree.members()}, PATIENCE)


def test_stop_ends_every_member(tree: WorkerTree) -> None:
    pids = [stat.pid for stat in tree.members()]

    tree.stop(timeout=1)

    def ended(pid: int) -> bool:
        stat = read_stat(pid)
        return stat is None or stat.state == "Z"

    assert wait_until(lambda: all(ended(pid) for pid in pids), PATIENCE)


def test_ended_worker_is_reported_with_its_output(tmp_path: Path) -> None:
    code = "print('no such broker'); raise SystemExit(3)"
    tree = WorkerTree([[sys.executable, "-c", code]], env=os.environ, cwd=tmp_path, log=tmp_path / "log")

    def dead() -> bool:
        try:
            tree.check_alive()
        except BenchError as exc:
            return "status 3" in str(exc) and "no such broker" in str(exc)
        return False

    assert wait_until(dead, PATIENCE)
