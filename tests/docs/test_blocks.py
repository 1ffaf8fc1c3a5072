"""Runs the code blocks of README.md and docs/ as a reader would: in order, in one empty directory.

* A ``python`` block whose first line is a comment naming a file (``# tasks.py``) is written to that file.
* Any other ``python`` block is run as a script.
* In a ``console`` block every line after ``$ `` is a command, and the lines below it are what it prints, with
  ``...`` for what differs from run to run. A worker or beat goes on in the background until the page ends.
* A block after the comment ``<!-- not run: reason -->``, and blocks in other languages, are only text.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?P<skip><!-- not run: .+? -->\n+)?^```(?P<lang>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
FILE = re.compile(r"# (?P<name>[\w/]+\.py)\n")
OUTPUT = doctest.OutputChecker()


@dataclass
class Reader:
    """Someone who follows one page."""

    directory: Path
    background: list[subprocess.Popen[str]] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        variables: dict[str, object] = {"HOME": self.directory, "XDG_STATE_HOME": self.directory / "state"}
        # A busy machine may need longer for an answer than people want to wait; who answers ends the wait.
        variables |= {f"CELERY_{command}_TIMEOUT": PATIENCE for command in ("STATUS", "INSPECT", "CONTROL")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {key: str(value) for key, value in variables.items()} | {"PATH": path, "NO_COLOR": "1"}

    def run_python(self, code: str) -> None:
        if named := FILE.match(code):
            target = self.directory / named["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(code)
        else:
            self.run([sys.executable, "-c", code])

    def run_console(self, code: str) -> None:
        for part in re.split(r"^\$ ", code, flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            if re.search(r"\b(worker|beat)\b", command):
                self.start(command)
            else:
                printed = self.run(["bash", "-c", command])
                matches = OUTPUT.check_output(expected, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
                assert matches or not expected, f"$ {command}\nprints\n{printed}\ninstead of\n{expected}"

    def run(self, words: list[str]) -> str:
        done = subprocess.run(
            words,
            cwd=self.directory,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}{self.logs()}"
        return done.stdout

    def start(self, command: str) -> None:
        log = self.directory / f"worker-{len(self.background)}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self.environment(),
                stdout=out,
                stderr=out,
                text=True,
            )
        self.background.append(process)
        wait_until(
            lambda: re.search("ready|Leading", log.read_text()) or process.poll() is not None,
            what=f"`{command}` to be ready",
        )
        assert process.poll() is None, log.read_text()

    def logs(self) -> str:
        return "\n".join(path.read_text() for path in self.directory.glob("worker-*.log"))

    def leave(self) -> None:
        for process in self.background:
            process.send_signal(signal.SIGTERM)
        for process in self.background:
            assert process.wait(PATIENCE) == 0, self.logs()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_do_what_the_page_says(page: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for block in BLOCK.finditer(page.read_text()):
            if block["skip"]:
                continue
            if block["lang"] == "python":
                reader.run_python(block["code"])
            elif block["lang"] == "console":
                reader.run_console(block["code"])
    finally:
        reader.leave()
