"""A Django project: its tasks are found, its transactions waited for, its connections looked after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE, servers
from tests.support.worker import RunningWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PROJECT = "tests.support.django_shop"


class Shop:
    """The project in a directory of its own."""

    def __init__(self, directory: Path, redis: str, **environment: str) -> None:
        self.directory = directory
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": f"{PROJECT}.settings",
            "SHOP_DATABASE": str(directory / "shop.sqlite3"),
            "SHOP_BROKER": redis,
            "SHOP_QUEUE": servers.unique("shop"),
            **environment,
        }
        self.run("migrate")

    def run(self, name: str) -> Any:
        """What a function of the client returns."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", f"{PROJECT}.client", name],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start_worker(self, *options: str) -> RunningWorker:
        """A worker with one child."""
        path = self.directory / f"{servers.unique('worker')}.log"
        command = [sys.executable, "-m", "celeriac", "-A", PROJECT, *options, "worker", "-c", "1", "-l", "INFO"]
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        return RunningWorker(process, path).wait_ready()


@pytest.fixture(scope="module")
def shop(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), f"{redis_server}/9")


@pytest.fixture(scope="module")
def committed(shop: Shop) -> Any:
    """What a client saw while no worker ran."""
    return shop.run("commit")


@pytest.fixture(scope="module")
def worker(shop: Shop, committed: Any) -> Iterator[RunningWorker]:
    started = shop.start_worker()
    yield started
    started.kill()


@pytest.fixture(scope="module")
def answers(shop: Shop, worker: RunningWorker) -> Any:
    return shop.run("ask")


@pytest.fixture(scope="module")
def in_place(shop: Shop, answers: Any) -> Any:
    """After the tasks of the worker, which list what is in the database."""
    return shop.run("in_place")


def test_calls_wait_for_the_commit(committed: Any) -> None:
    assert committed["within"] == committed["before"] == 0
    assert committed["after"] == 2


def test_tasks_of_installed_apps_are_found_and_use_the_database(answers: Any) -> None:
    assert answers["titles"] == ["first", "second"]
    assert answers["restock"] == "more tea"


def test_a_task_begins_without_connections_that_are_too_old(answers: Any) -> None:
    _, later = answers["facts"]
    assert later["open"] == ["kept"]
    assert later["caches closed"] > 0


def test_a_child_uses_no_connection_of_its_parent(answers: Any, worker: RunningWorker) -> None:
    assert answers["facts"][0]["pid"] != worker.pid
    # The one opened by worker_init; that of the imports was closed before.
    assert answers["facts"][0]["inherited"] == 1


def test_the_time_zone_is_that_of_the_project(answers: Any) -> None:
    assert answers["facts"][0]["timezone"] == answers["facts"][0]["django timezone"] == "Europe/Oslo"


def test_the_worker_tells_what_the_checks_say(worker: RunningWorker) -> None:
    assert "the shop is small" in worker.log


def test_checks_can_be_skipped(in_place: Any) -> None:
    assert in_place["checked"] is True
    assert in_place["checked although skipped"] is False


def test_eager_calls_leave_connections_alone(in_place: Any) -> None:
    assert in_place["open"] is True


def test_a_child_that_was_not_forked_looks_after_connections_too(redis_server: str, tmp_path: Path) -> None:
    shop = Shop(tmp_path, f"{redis_server}/9", SHOP_START_METHOD="spawn")
    worker = shop.start_worker("--skip-checks")
    try:
        _, later = shop.run("ask")["facts"]
    finally:
        worker.kill()
    assert (later["open"], later["inherited"]) == (["kept"], 0)
