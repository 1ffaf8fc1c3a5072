"""A project that uses the fixtures, and one that does not."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

from tests.support import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

CONFTEST = """
    import pytest

    pytest_plugins = ("celeriac.contrib.pytest",)


    @pytest.fixture(scope="session")
    def celery_config():
        return {"task_default_queue": "ours"}


    @pytest.fixture(scope="session")
    def celery_includes():
        return ["their_tasks"]


    @pytest.fixture(scope="session")
    def celery_parameters():
        return {"task_cls": "their_tasks:OwnTask", "strict_typing": False}


    @pytest.fixture(scope="session")
    def celery_worker_parameters():
        return {"queues": ("ours", "fast"), "ping_task_timeout": 60, "shutdown_timeout": 60}


    @pytest.fixture(scope="session")
    def celery_class_tasks():
        import their_tasks

        return [their_tasks.ClassTask]
"""

TASKS = """
    from celeriac import Task, shared_task


    class OwnTask(Task):
        pass


    class ClassTask(Task):
        name = "class-task"

        def run(self, x):
            return -x


    @shared_task
    def double(x):
        return 2 * x
"""

TESTS = """
    import pytest
    import celeriac
    from their_tasks import ClassTask, OwnTask, double


    def test_worker(celery_app, celery_worker):
        assert celery_app.conf.task_default_queue == "ours"
        assert isinstance(celery_app.tasks["their_tasks.double"], OwnTask)
        assert double.delay(4).get(timeout=60) == 8
        assert double.apply_async((4,), queue="fast").get(timeout=60) == 8


    @pytest.mark.celery(task_default_queue="marked", result_expires=60)
    def test_marker(celery_app):
        assert (celery_app.conf.task_default_queue, celery_app.conf.result_expires) == ("marked", 60)


    def test_session(celery_session_app, celery_session_worker):
        assert celery_session_app.tasks["class-task"].delay(3).get(timeout=60) == -3


    def test_session_again(celery_session_app, celery_session_worker, celery_app):
        assert celery_session_app is not celery_app
        assert celeriac.current_app.main == celery_app.main


    def test_our_names(celery_app, celeriac_app, celeriac_worker, celery_worker, depends_on_current_app):
        assert celeriac_app is celery_app
        assert celeriac_worker is celery_worker
        assert celeriac.current_app == celery_app


    @pytest.fixture(scope="session")
    def use_celery_app_trap():
        return True


    def test_trap(celery_app):
        with pytest.raises(RuntimeError, match="depends on the current app"):
            double.delay(1)
"""


def run_pytest(directory: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options],
        cwd=directory, capture_output=True, text=True, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_that_asks_for_the_fixtures_has_them(tmp_path: Path) -> None:
    for name, text in (("conftest.py", CONFTEST), ("their_tasks.py", TASKS)):
        (tmp_path / name).write_text(dedent(text))
    tests = dedent(TESTS)
    plain, trapped = tests.split("@pytest.fixture")
    (tmp_path / "test_plain.py").write_text(plain)
    (tmp_path / "test_trapped.py").write_text(
        "import pytest\nfrom their_tasks import double\n\n\n@pytest.fixture" + trapped
    )
    printed = run_pytest(tmp_path, "--strict-markers", "-W", "error")
    assert "6 passed" in printed


def test_a_project_that_does_not_ask_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import sys\n\ndef test_it():\n    assert 'celeriac' not in sys.modules\n")
    assert "1 passed" in run_pytest(tmp_path)
    assert "celery_app" not in run_pytest(tmp_path, "--fixtures")
