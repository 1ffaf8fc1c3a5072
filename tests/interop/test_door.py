"""A project written for Celery, unchanged: under Celery, and under Celeriac with Celery beside it and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hiredis
import pytest

from tests.interop import environment
from tests.support import PATIENCE
from tests.support.servers import unique
from tests.support.worker import RunningWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).with_name("project")
CELERY, BESIDE, ALONE = "celery", "celeriac beside celery", "celeriac alone"


def prefix(kind: str) -> list[str]:
    """What stands before a command line, for it to run as meant."""
    if kind == CELERY:
        return []
    python = str(environment.ensure()) if kind == BESIDE else sys.executable
    return [python, "-m", "celeriac", "exec", "--"]


def ours(directory: Path) -> str:
    """What installing Celeriac with its extra for Redis beside Celery adds to the path of Python."""
    added = directory / "added"
    added.mkdir()
    (added / "hiredis").symlink_to(Path(hiredis.__file__).parent)
    return f"{environment.ROOT / 'src'}:{added}"


class Shop:
    """The project, with a queue and a worker of its own.

    Args:
        kind: What runs it.
        redis: URL of a database.
        directory: For the log.
    """

    def __init__(self, kind: str, redis: str, directory: Path) -> None:
        python = str(environment.ensure()) if kind != ALONE else sys.executable
        self.node = f"{unique('shop')}@door"
        self.queue = unique("door")
        self.environment = {
            **os.environ,
            "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
            "PYTHONPATH": ours(directory) if kind == BESIDE else "",
            "C_FORCE_ROOT": "1",
            "SHOP_BROKER": redis,
            "SHOP_RESULTS": redis,
            "SHOP_QUEUE": self.queue,
        }
        self.prefix = prefix(kind)
        log_path = directory / "worker.log"
        command = ["celery", "-A", "shop", "worker", "-l", "INFO", "-c", "1", "-n", self.node]
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [*self.prefix, *command], cwd=PROJECT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.worker = RunningWorker(process, log_path)

    def run(self, *command: str) -> str:
        """Run a program of the project to its end; returns its output."""
        done = subprocess.run(
            [*self.prefix, *command], cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False,
            timeout=2 * PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stderr}\n{self.worker.log}"
        return done.stdout

    def found(self) -> dict[str, Any]:
        """What came back from the calls of the project, with names of its own in place of those of this run."""
        text = self.run("python", "run.py", self.node).splitlines()[-1]
        found: dict[str, Any] = json.loads(text.replace(self.node, "NODE").replace(self.queue, "QUEUE"))
        return found


@pytest.fixture(scope="module")
def expected(redis_database: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Celery answers."""
    shop = Shop(CELERY, redis_database, tmp_path_factory.mktemp("celery"))
    try:
        shop.worker.wait_ready()
        return shop.found()
    finally:
        shop.worker.kill()


@pytest.fixture(scope="module", params=[BESIDE, ALONE])
def shop(
    request: pytest.FixtureRequest, redis_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """The project under Celeriac."""
    shop = Shop(request.param, redis_database, tmp_path_factory.mktemp("celeriac"))
    try:
        shop.worker.wait_ready()
        yield shop
    finally:
        shop.worker.kill()


def test_a_project_gets_the_answers_that_celery_gives(shop: Shop, expected: dict[str, Any]) -> None:
    found = shop.found()
    assert found.keys() == expected.keys()
    assert {name: value for name, value in found.items() if value != expected[name]} == {}


def test_the_worker_is_ours(shop: Shop) -> None:
    assert "the till of shop is open" in shop.worker.log
    assert "celeriac" in shop.run("celery", "--version")
    assert "celeriac" in shop.run("python", "-m", "celery", "--version")
    assert "celeriac:" in shop.run("celery", "-A", "shop", "report")


def test_children_of_a_program_are_in_it_too(shop: Shop) -> None:
    code = "import subprocess; subprocess.run(['python', '-c', 'import celery; print(type(celery).__module__)'])"
    assert shop.run("python", "-c", code) == "celeriac.compat.importer\n"


def test_the_version_of_the_distribution_is_the_one_we_stand_for(shop: Shop) -> None:
    code = "import importlib.metadata as m, celery; print(m.version('celery'), celery.__version__)"
    assert shop.run("python", "-c", code) == "5.7.0 5.7.0\n"
