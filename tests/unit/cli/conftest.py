"""Running the command line inside the test process, without leaving traces in it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from celeriac import Celery, current
from celeriac.cli.main import run
from tests.support.modules import forget_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _restored_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    environment, path = dict(os.environ), list(sys.path)
    default = current._default
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    forget_modules(tmp_path)
    current.set_current_app(default)
    current.set_default_app(default)


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    """An app whose broker and results are in this process."""
    app = Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}", set_as_current=False)

    @app.task(name="proj.add", shared=False)
    def add(x: int, y: int) -> int:
        return x + y

    yield app
    app.close()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command line; returns exit code, stdout and stderr."""

    def call(*argv: str, app: Celery | None = None) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(argv, app)
        out, err = capsys.readouterr()
        return code, out, err

    return call
