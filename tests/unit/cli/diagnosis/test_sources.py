"""What a project imports from Celery, and whether it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.cli.diagnosis import services, sources

if TYPE_CHECKING:
    from pathlib import Path


def levels(directory: Path, code: str) -> list[tuple[str, str]]:
    file = directory / "tasks.py"
    file.write_text(code)
    return [(finding.level, finding.text) for finding in sources.look([file])]


def test_what_is_there_is_counted(tmp_path: Path) -> None:
    code = "import celery\nfrom celery import Celery, chord\nfrom celery.result import AsyncResult\nimport json\n"
    assert levels(tmp_path, code) == [("ok", "names of Celery and kombu that are there: 4; files: 1")]


def test_imports_within_functions_count_too(tmp_path: Path) -> None:
    (problem,) = levels(tmp_path, "def f():\n    from celery.app.trace import trace_task\n")
    assert problem[0] == "problem"
    assert "celery.app.trace" in problem[1]


def test_a_module_that_is_not_there_is_explained_once_with_its_places(tmp_path: Path) -> None:
    file = tmp_path / "tasks.py"
    file.write_text("from celery.no_such import a\n" * 5)
    (finding,) = sources.look([file])
    assert "No module named 'celery.no_such'" in finding.text
    assert finding.hint == (f"imported at {file}:1, {file}:2, {file}:3 and 2 more")


@pytest.mark.parametrize("code", ["def broken(:\n", "", "from . import celery\n", "from .celery import app\n"])
def test_what_is_no_import_of_celery_is_nothing(tmp_path: Path, code: str) -> None:
    assert levels(tmp_path, code) == [("ok", "nothing is imported from Celery; files: 1")]


@pytest.mark.parametrize(
    ("policy", "limit", "found"),
    [("allkeys-lru", 100, "problem"), ("allkeys-lru", 0, None), ("volatile-lru", 100, None), ("noeviction", 1, None)],
)
def test_a_redis_that_may_evict_messages_is_a_problem(policy: str, limit: int, found: str | None) -> None:
    info = f"# Memory\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\naof_enabled:1\r\n"
    assert [finding.level for finding in services._read_info(info)] == ([found] if found else [])


def test_a_redis_without_a_log_is_worth_a_note() -> None:
    (finding,) = services._read_info("maxmemory_policy:noeviction\r\naof_enabled:0\r\n")
    assert finding.level == "note"
