"""``doctor`` as a process: a project in order, one that is not, and servers that are away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import PATIENCE
from tests.support.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Doctor = Callable[..., tuple[int, list[dict[str, Any]]]]

GOOD = """
from celery import Celery
app = Celery("tasks", broker="{url}", backend="{url}")
@app.task
def add(x, y):
    return x + y
"""
BAD = (
    """
from celery import Celery, bootsteps
from celery.app.trace import trace_task
"""
    + GOOD.replace("from celery import Celery\n", "")
    + """
app.conf.task_serialiser = "json"
app.conf.worker_consumer = "a:B"
"""
)


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs ``doctor --json`` on a module; returns its exit code and findings."""

    def run(code: str, *argv: str) -> tuple[int, list[dict[str, Any]]]:
        (tmp_path / "tasks.py").write_text(code)
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [sys.executable, "-m", "celeriac", "-A", "tasks", "doctor", "--json", *argv],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)

    return run


def problems(findings: list[dict[str, Any]]) -> list[str]:
    return [finding["area"] for finding in findings if finding["level"] == "problem"]


def test_a_project_in_order_has_no_problem(doctor: Doctor, redis_url: str) -> None:
    status, findings = doctor(GOOD.format(url=redis_url))
    assert (status, problems(findings)) == (0, [])
    texts = [finding["text"] for finding in findings]
    assert "the defaults are Celery's" in texts
    assert any(text.startswith(f"{redis_url} answers") for text in texts)
    assert "no worker answers" in texts


def test_what_is_in_the_way_is_told_with_its_place(doctor: Doctor, redis_url: str) -> None:
    status, findings = doctor(BAD.format(url=redis_url).replace("from celery.app.trace", "if 0: from celery.app.trace"))
    assert (status, problems(findings)) == (1, ["settings", "settings", "imports"])
    (missing,) = [finding for finding in findings if finding["area"] == "imports" and finding["level"] == "problem"]
    assert "celery.app.trace" in missing["text"]
    assert missing["hint"].endswith("tasks.py:3")


def test_servers_that_are_away_are_problems_and_offline_asks_none(doctor: Doctor) -> None:
    code = GOOD.format(url=f"redis://127.0.0.1:{free_port()}/0")
    status, findings = doctor(code)
    assert (status, problems(findings)) == (1, ["broker", "results"])
    status, findings = doctor(code, "--offline")
    assert (status, problems(findings)) == (0, [])


def test_the_embedded_default_and_our_own_defaults(doctor: Doctor) -> None:
    status, findings = doctor("from celeriac import Celery\napp = Celery('own')\n@app.task\ndef f(): pass\n")
    assert status == 0
    (change,) = [finding for finding in findings if finding["level"] == "change"]
    assert "task_acks_late = True (False)" in change["text"]
