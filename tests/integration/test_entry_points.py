"""Brokers, result stores, serializers, pools, schedulers and commands of an installed distribution are found."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.environments import find_uv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
import base64
import json

import click

from celeriac.backend.sqlite import SQLiteBackend
from celeriac.beat import Scheduler
from celeriac.broker.sql.sqlite import SQLiteBroker
from celeriac.contrib.testing.pool import InlinePool


def broker(url, options):
    return SQLiteBroker(url.replace("parcel", "sqlite", 1), options)


def store(url, options):
    return SQLiteBackend(url.replace("parcel", "sqlite", 1), options)


class Base64:
    name, content_type, content_encoding = "parcel", "application/x-parcel", "binary"

    def dumps(self, value):
        return base64.b64encode(json.dumps(value).encode())

    def loads(self, data):
        return json.loads(base64.b64decode(data))


serializer = Base64()
of_kombu = (serializer.dumps, serializer.loads, "application/x-tuple", "binary")


class Pool(InlinePool):
    name = "parcel"


class ParcelScheduler(Scheduler):
    def setup_schedule(self):
        super().setup_schedule()
        print("a parcel scheduler", flush=True)


@click.command()
def command():
    click.echo("parcels")
"""

ENTRY_POINTS = """
[celeriac.brokers]
parcel = parcels_plugin:broker
[celeriac.result_backends]
parcel = parcels_plugin:store
broken = parcels_plugin:missing
[celeriac.serializers]
parcel = parcels_plugin:serializer
[kombu.serializers]
tuple = parcels_plugin:of_kombu
[celeriac.pools]
parcel = parcels_plugin:Pool
[celeriac.beat_schedulers]
parcel = parcels_plugin:ParcelScheduler
[celery.beat_schedulers]
parcel_of_celery = parcels_plugin:ParcelScheduler
[celeriac.commands]
parcel = parcels_plugin:command
"""

PROJECT = """
from celeriac import Celery

app = Celery("proj", broker="parcel://{path}/queue.db", backend="parcel://{path}/results.db")
app.conf.update(task_serializer="parcel", accept_content=["parcel", "tuple"], result_serializer="parcel")


@app.task
def add(x, y):
    return x + y
"""


def make_wheel(directory: Path) -> Path:
    """A wheel of the distribution."""
    info = "parcels_plugin-1.0.dist-info"
    files = {
        "parcels_plugin.py": MODULE,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: parcels-plugin\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    lines = [f"{name},{_digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,\n"])
    path = directory / "parcels_plugin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a project, and the distribution installed in ``site``."""
    directory = tmp_path_factory.mktemp("plugin")
    wheel = make_wheel(directory)
    uv = find_uv()
    installer = [sys.executable, "-m", "pip"] if uv is None else [uv, "pip"]
    command = [*installer, "install", "--no-deps", "--target", str(directory / "site"), str(wheel)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
    (directory / "proj.py").write_text(PROJECT.format(path=directory))
    return directory


def environment(project: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(project / "site"), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="module")
def worker_log(project: Path) -> Iterator[Path]:
    """The log of a worker whose parts come from the distribution."""
    log = project / "worker.log"
    command = [sys.executable, "-m", "celeriac", "-A", "proj", "worker", "-l", "INFO", "-P", "parcel"]
    command += ["-B", "--scheduler", "parcel", "-s", str(project / "schedule")]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=project, env=environment(project), stdout=out, stderr=out)
    try:
        wait_until(lambda: " ready." in log.read_text() or process.poll() is not None, what="the worker is ready")
        assert process.poll() is None, log.read_text()
        yield log
        process.terminate()
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=project, env=environment(project), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("serializer", ["parcel", "tuple"])
def test_tasks_travel_by_brokers_serializers_stores_and_pools_of_others(
    project: Path, worker_log: Path, serializer: str
) -> None:
    code = f"from proj import add; print(add.apply_async((2, 3), serializer={serializer!r}).get(timeout={PATIENCE}))"
    done = run(project, "-c", code)
    assert done.stdout == "5\n", done.stderr + worker_log.read_text()
    assert "(parcel)" in worker_log.read_text()


def test_the_scheduler_is_that_of_the_distribution(worker_log: Path) -> None:
    wait_until(lambda: "a parcel scheduler" in worker_log.read_text(), what="the scheduler starts")


def test_schedulers_made_for_celery_are_found_by_their_names(project: Path) -> None:
    code = "from proj import app; print(app.Beat(scheduler_cls='parcel_of_celery').find_class().__name__)"
    assert run(project, "-c", code).stdout == "ParcelScheduler\n"


def test_commands_of_the_distribution_are_commands(project: Path) -> None:
    assert run(project, "-m", "celeriac", "parcel").stdout == "parcels\n"
    assert "From parcels-plugin 1.0." in run(project, "-m", "celeriac", "--help").stdout


def test_what_cannot_be_imported_is_named_with_its_distribution(project: Path) -> None:
    done = run(project, "-c", "from celeriac.backend import open_backend; open_backend('broken://')")
    assert "'broken' of the distribution parcels-plugin 1.0 (entry point group celeriac.result_backends)" in done.stderr
