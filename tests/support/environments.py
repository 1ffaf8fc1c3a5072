"""Virtual environments beside the one of the tests, made from locked requirements: of real Celery, of third parties."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = ROOT / "packages" / "celeriac-as-celery"


@dataclass(frozen=True)
class Environment:
    """One environment, made once for each content of its requirements, by uv where there is one, else venv and pip.

    Attributes:
        directory: Where it is.
        requirements: What is in it; each distribution with its version.
        without: Distributions among the requirements that are left out.
        celeriac: Whether Celeriac can be imported in it, from the sources.
        stand_in: Whether `celeriac-as-celery` is installed in it.
    """

    directory: Path
    requirements: Path
    without: tuple[str, ...] = ()
    celeriac: bool = False
    stand_in: bool = False

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    def ensure(self) -> Path:
        """The interpreter; makes the environment where it is missing or out of date."""
        wanted = self._wanted()
        stamp = self.directory / ".made-of"
        with self.requirements.open("rb") as lock:
            # Test processes that run side by side make it once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stamp.exists() or stamp.read_text() != wanted:
                shutil.rmtree(self.directory, ignore_errors=True)
                self._make()
                stamp.write_text(wanted)
        return self.python

    def _wanted(self) -> str:
        digest = hashlib.sha256(self.requirements.read_bytes() + sys.version.encode() + repr(self).encode())
        if self.stand_in:
            for path in sorted(STAND_IN.rglob("*.py*")):
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def _make(self) -> None:
        uv = find_uv()
        if uv is not None:
            _run(uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(self.directory))
            install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", str(self.python)]
        else:
            _run(sys.executable, "-m", "venv", str(self.directory))
            install = [str(self.python), "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        chosen = self.directory / "requirements.txt"
        chosen.write_text("".join(f"{line}\n" for line in self._chosen()))
        _run(*install, "-r", str(chosen))
        if self.stand_in:
            built = self.directory / "built"
            _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built), cwd=STAND_IN)
            _run(*install, *map(str, built.glob("*.whl")))
        if self.celeriac:
            site = next(self.directory.glob("lib/python*/site-packages"))
            (site / "celeriac.pth").write_text(f"{ROOT / 'src'}\n")

    def _chosen(self) -> list[str]:
        lines = self.requirements.read_text().splitlines()
        return [line for line in lines if line.partition("==")[0] not in self.without]


def find_uv() -> str | None:
    """The program ``uv``: of the system, or the one that ``make setup`` fetched."""
    own = ROOT / ".venv-tools" / "bin" / "uv"
    return shutil.which("uv") or (str(own) if own.exists() else None)


def _run(*command: str, cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
