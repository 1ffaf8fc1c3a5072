"""The distribution celeriac-as-celery: built, installed, and used as Celery."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.support import PATIENCE

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "packages" / "celeriac-as-celery"


def run(*command: str | Path, cwd: Path | None = None) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CELER"))}
    # The environment of the tests, which lends its packages, has the original.
    env["CELERIAC_KOMBU"] = "1"
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the programs of an environment are that has Celeriac, this distribution, and no Celery."""
    built = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built, cwd=SOURCE)
    (wheel,) = built.glob("*.whl")
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", home)
    run(home / "bin" / "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    # Celeriac itself, and what it needs, from the environment of the tests.
    site = next(home.glob("lib/python*/site-packages"))
    (site / "celeriac.pth").write_text(f"{ROOT / 'src'}\n{sysconfig.get_path('purelib')}\n")
    return home / "bin"


def test_its_names_are_celerys(programs: Path, tmp_path: Path) -> None:
    code = (
        "from kombu import Queue\nfrom celery.result import AsyncResult\nimport celery, celeriac, celeriac.result\n"
        "print(celery.Celery is celeriac.Celery, AsyncResult is celeriac.result.AsyncResult, Queue is celeriac.Queue)\n"
        "print(celery.__version__, celery.Celery('x').conf.broker_url)"
    )
    assert run(programs / "python", "-c", code, cwd=tmp_path) == "True True True\n5.7.0 amqp://\n"


def test_its_command_is_ours(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from celery import Celery\napp = Celery('shop', broker='memory://')\n")
    assert run(programs / "celery", "--version").startswith("celeriac ")
    assert run(programs / "python", "-m", "celery", "--version").startswith("celeriac ")
    assert "app -> shop" in run(programs / "celery", "-A", "shop", "report", cwd=tmp_path)


def test_it_has_a_stub_for_each_module_and_says_that_it_is_typed(programs: Path) -> None:
    code = "import celery, pathlib; print(pathlib.Path(celery.__file__).parent)"
    place = Path(run(programs / "python", "-c", code).strip())
    assert (place / "py.typed").exists() and (place / "result.pyi").exists() and (place / "app" / "task.pyi").exists()
