"""One virtual environment per peer under ``.venv-bench/``, made on demand from pinned requirements.

Celeriac itself runs from the project's own ``.venv``; this module never changes that one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from bench.harness import BenchError

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "bench" / "requirements"
ENVIRONMENTS = ROOT / ".venv-bench"
STAMP = ".requirements-sha256"


def bin_dir(peer: str) -> Path:
    """The ``bin`` directory of a peer's environment, which is made first if it is missing or outdated.

    Raises:
        BenchError: The environment could not be made; the message ends with the installer's output.
    """
    if peer == "celeriac":
        found = ROOT / ".venv" / "bin"
        if not (found / "celeriac").exists():
            raise BenchError("the project's environment has no `celeriac` command; run `make setup` first")
        return found
    requirements = REQUIREMENTS / f"{peer}.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    home = ENVIRONMENTS / peer
    stamp = home / STAMP
    if not (stamp.exists() and stamp.read_text() == digest):
        _make(home, requirements)
        stamp.write_text(digest)
    return home / "bin"


def _make(home: Path, requirements: Path) -> None:
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    shutil.rmtree(home, ignore_errors=True)
    python = str(home / "bin" / "python")
    _run([sys.executable, "-m", "venv", str(home)])
    _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed:\n{done.stderr[-1500:]}")


def version(peer: str) -> str:
    """The installed version of a peer, for the report."""
    code = "import importlib.metadata as m, json, sys; print(json.dumps(m.version(sys.argv[1])))"
    done = subprocess.run([bin_dir(peer) / "python", "-c", code, peer], capture_output=True, text=True, check=False)
    return str(json.loads(done.stdout)) if done.returncode == 0 else "unknown"
