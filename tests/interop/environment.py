"""``python -m tests.interop.environment``: make ``.venv-interop``, the environment in which real Celery runs.

It is made once for each content of ``requirements.txt``, by uv where there is one, else by venv and pip.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
DIRECTORY = ROOT / ".venv-interop"
PYTHON = DIRECTORY / "bin" / "python"


def ensure() -> Path:
    """The interpreter of the environment; makes the environment where it is missing or out of date."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = DIRECTORY / ".made-of"
    with REQUIREMENTS.open("rb") as lock:
        # Test processes that run side by side make it once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(DIRECTORY, ignore_errors=True)
            _make()
            stamp.write_text(wanted)
    return PYTHON


def find_uv() -> str | None:
    """The program ``uv``: of the system, or the one that ``make setup`` fetched."""
    own = ROOT / ".venv-tools" / "bin" / "uv"
    return shutil.which("uv") or (str(own) if own.exists() else None)


def _make() -> None:
    uv = find_uv()
    if uv is not None:
        _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(DIRECTORY))
        _run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), "-r", str(REQUIREMENTS))
    else:
        _run(sys.executable, "-m", "venv", str(DIRECTORY))
        pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(*pip, "-r", str(REQUIREMENTS))


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    ensure()
