"""Random workflows come to the same in eager mode, on the memory broker, on Redis with two workers, and in the model.

``CELERIAC_TEST_WORKFLOWS`` is how many there are, new ones with each run; without it they are few and always the same.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support import flow_app, servers, wait_until
from tests.support.flows import ERRORS, Failed, Many, Plan, expected, plans
from tests.support.worker import ROOT, RunningWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Runner = Callable[[Plan, tuple[int, ...], str], Any]

COUNT = os.environ.get("CELERIAC_TEST_WORKFLOWS")
#: Seconds for all of them.
LIMIT = 300 + int(COUNT or 0) * 5


@pytest.fixture(scope="module")
def ledgers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tasks write down that they ran."""
    return tmp_path_factory.mktemp("ledgers")


@pytest.fixture(scope="module")
def run_here(ledgers: Path) -> Iterator[Runner]:
    """Runs plans in eager mode."""
    conf = {"broker_url": "memory://", "result_backend": "memory://", "task_always_eager": True}
    with flow_app.make_app(conf, str(ledgers)) as app:
        yield lambda plan, args, key: flow_app.run(app, plan, args, key)


@pytest.fixture(scope="module")
def run_in_memory(ledgers: Path) -> Iterator[Runner]:
    """Runs plans on the memory broker."""
    with (ledgers / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.flow_app", str(ledgers)], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None and stdout is not None

    def run(*request: Any) -> Any:
        data = pickle.dumps(request)
        stdin.write(struct.pack("!I", len(data)) + data)
        stdin.flush()
        header = stdout.read(4)
        assert header, (ledgers / "log").read_text()
        answer = pickle.loads(stdout.read(struct.unpack("!I", header)[0]))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    try:
        yield run
    finally:
        process.kill()
        stdin.close()
        stdout.close()
        process.wait()


@pytest.fixture(scope="module")
def run_on_redis(redis_server: str, ledgers: Path) -> Iterator[Runner]:
    """Runs plans on Redis with two workers; what follows a task is mostly kept in the store."""
    url = f"{redis_server}/6"
    conf = {
        "broker_url": url, "result_backend": url, "task_default_queue": servers.unique("flows"),
        "task_graph_inline_max": 700,
    }  # fmt: skip
    told = json.dumps({"conf": conf, "directory": str(ledgers)})
    workers = [_worker(ledgers, number, told) for number in range(2)]
    with flow_app.make_app(conf, str(ledgers)) as app:
        try:
            for worker in workers:
                worker.wait_ready()
            yield lambda plan, args, key: flow_app.run(app, plan, args, key)
            assert all(worker.alive for worker in workers)
        finally:
            for worker in workers:
                worker.kill()


def _worker(directory: Path, number: int, told: str) -> RunningWorker:
    log_path = directory / f"worker{number}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celeriac", "-A", "tests.support.flow_app", "worker", "-l", "INFO",
             "-n", f"w{number}@test", "-c", "2"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "C_FORCE_ROOT": "1", flow_app.VARIABLE: told},
        )  # fmt: skip
    return RunningWorker(process, log_path)


def examples(few: int) -> settings:
    return settings(
        max_examples=int(COUNT or few), derandomize=COUNT is None, database=None, deadline=None,
        phases=(Phase.generate,) if COUNT is None else tuple(Phase), suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def _without_names(end: Any, errors: set[str]) -> Any:
    """An end in which every failure with one of these errors looks alike."""
    if isinstance(end, Many):
        return Many(tuple(_without_names(each, errors) for each in end.ends))
    return Failed("one of them") if isinstance(end, Failed) and end.error in errors else end


@pytest.mark.parametrize(("place", "few"), [("run_in_memory", 60), ("run_on_redis", 30)], ids=["memory", "redis"])
@pytest.mark.timeout(LIMIT)
def test_workflows_come_to_the_same_everywhere(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, ledgers: Path, run_here: Runner,
    place: str, few: int,
) -> None:  # fmt: skip
    caplog.set_level(logging.CRITICAL, "celeriac")
    run_there = request.getfixturevalue(place)
    wanted = {}

    @examples(few)
    @given(plans(12), st.lists(st.integers(10, 19), max_size=2).map(tuple))
    def check(plan: Plan, args: tuple[int, ...]) -> None:
        known = expected(plan, args)
        check_eager(plan, args)
        key = servers.unique(place)
        assert run_there(plan, args, key) == known.end
        # Links and errbacks, and other members of a group with a failure in it, may still be running.
        wait_until(lambda: flow_app.ran(ledgers, key).total() >= known.ran.total(), what=f"{known.ran} of {plan}")
        assert flow_app.ran(ledgers, key) == known.ran
        wanted[key] = known.ran

    def check_eager(plan: Plan, args: tuple[int, ...]) -> None:
        known, key = expected(plan, args), servers.unique("here")
        try:
            end = run_here(plan, args, key)
        except tuple(ERRORS.values()) as exc:
            # In eager mode the failure of a part is raised at once, as in Celery.
            end = Failed(type(exc).__name__)
            assert end.error in known.errors
            return
        # So it is in the replacement of a task, which fails with that then.
        assert _without_names(end, known.errors) == _without_names(known.end, known.errors)
        if not known.errors:
            assert flow_app.ran(ledgers, key) == known.ran

    check()
    # Nothing came late.
    assert {key: flow_app.ran(ledgers, key) for key in wanted} == wanted
