"""`make demo`, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _processes_of(directory: Path) -> list[str]:
    """Command lines of the processes whose environment names the directory."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if str(directory).encode() in (each / "environ").read_bytes():
                found.append((each / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_demonstration_succeeds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for line in ("    5 ", "'slept for 0.2 s'", "'done, after 2 retries'", "raises ValueError(", "    500500 "):
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert _processes_of(tmp_path) == []
