"""Running what is made for Celery: under Celery, and under Celeriac with Celery beside it and without."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import PATIENCE, wait_until
from tests.support.worker import RunningWorker
from tests.thirdparty import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Under real Celery; under Celeriac by ``celeriac exec``, where Celery is installed; by `celeriac-as-celery`.
CELERY, BESIDE, ALONE = "celery", "beside", "alone"
PROJECT = Path(__file__).with_name("project")


def command(kind: str, *words: str) -> list[str]:
    """A command line as it is run in one of the three ways; its first word is a program of the environment."""
    python = (environment.ALONE if kind == ALONE else environment.BESIDE).ensure()
    program = [str(python.parent / words[0]), *words[1:]]
    if kind != BESIDE:
        return program
    # What is found under the name celery is the door's business.
    return [str(python), "-m", "celeriac", "exec", "--", *words]


def variables(kind: str, more: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CELER"))}
    programs = (environment.ALONE if kind == ALONE else environment.BESIDE).ensure().parent
    path = f"{programs}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "C_FORCE_ROOT": "1", **more}


def run(
    kind: str,
    *words: str,
    cwd: Path = PROJECT,
    env: Mapping[str, str] | None = None,
    patience: float = 2 * PATIENCE,
    status: int = 0,
) -> str:
    """Run a program to its end; returns what it printed on its standard output."""
    done = subprocess.run(
        command(kind, *words), cwd=cwd, env=variables(kind, env or {}), capture_output=True, text=True, check=False,
        timeout=patience,
    )  # fmt: skip
    assert done.returncode == status, f"{words} ended with status {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def running(
    kind: str, *words: str, log: Path, ready: str, cwd: Path = PROJECT, env: Mapping[str, str] | None = None
) -> Iterator[RunningWorker]:
    """A program that runs while the block does.

    Args:
        kind: Under what.
        *words: Its command line.
        log: Where its output goes.
        ready: What it prints when it is ready.
        cwd: Where it runs.
        env: Further environment variables.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(kind, *words), cwd=cwd, env=variables(kind, env or {}), stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    program = RunningWorker(process, log)
    try:
        wait_until(lambda: ready in program.log or not program.alive, what=f"{words[0]} says {ready!r}")
        assert program.alive, f"{words} ended with status {process.returncode}:\n{program.log}"
        yield program
    finally:
        program.kill()
