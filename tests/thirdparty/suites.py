"""The third parties' own test-suites, from their source distributions: which of their tests fail here, and why."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.environments import ROOT, Environment
from tests.thirdparty.environment import ALONE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FLOWER", "PATIENCE", "SUITES", "Suite"]

#: Seconds that a suite may take.
PATIENCE = 1200.0
#: Tests that need releases of pytest from before ours.
_OLDER = Environment(ROOT / ".venv-suites", Path(__file__).with_name("requirements-suites.txt"), celeriac=True)
_SAME = "it fails under Celery 5.7.0 and these releases too"
_SHARED = f"{_SAME}: databases are shared between tests of SQLite"
_BANNER = "the URL amqp:// is shown as it was given, not completed by user, host and port"
_REPORT = "app.bugreport() names celeriac and its versions, not celery"


@dataclass(frozen=True)
class Suite:
    """One test-suite.

    Attributes:
        name: The distribution.
        environment: Where it runs: with Celery, by ``celeriac exec``, or with `celeriac-as-celery` in its place.
        tests: Where its tests are, if that has to be said.
        left_out: Files that are not run, and why.
        fails: Tests that fail, and why.
        may_fail: Tests that fail on a busy machine, and why.
    """

    name: str
    environment: Environment = _OLDER
    tests: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    fails: Mapping[str, str] = field(default_factory=dict)
    may_fail: Mapping[str, str] = field(default_factory=dict)

    def failed(self, directory: Path) -> dict[str, str]:
        """Run it; returns tests that failed, with their last lines.

        Args:
            directory: An empty one, for the sources.
        """
        python = self.environment.ensure()
        door = () if self.environment.stand_in else ("-m", "celeriac", "exec", "--", "python")
        left_out = [f"--ignore={path}" for path in self.left_out]
        options = ["-q", "-rfE", "--tb=short", "-o", "addopts=", "-p", "no:cacheprovider", "-W", "ignore", *left_out]
        done = subprocess.run(
            [str(python), *door, "-m", "pytest", *self.tests, *options],
            cwd=self._unpack(directory), env=_variables(python), capture_output=True, text=True, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        assert re.search(r"^\d.* passed", done.stdout, re.MULTILINE), f"{done.stdout}\n{done.stderr}"
        lines = re.findall(r"^(?:FAILED|ERROR) (\S+)(.*)", done.stdout, re.MULTILINE)
        return {test: reason.removeprefix(" - ") for test, reason in lines}

    def _unpack(self, directory: Path) -> Path:
        """Fetch the sources of the release in the environment."""
        lines = self.environment.requirements.read_text().splitlines()
        (release,) = (line for line in lines if line.startswith(f"{self.name}=="))
        subprocess.run([sys.executable, "-m", "venv", str(directory / "fetch")], check=True, capture_output=True)
        pip = [str(directory / "fetch" / "bin" / "python"), "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run(
            [*pip, f"--no-binary={self.name}", release, "-d", str(directory)], check=True, capture_output=True
        )
        (archive,) = directory.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(directory, filter="data")
        return directory / archive.name.removesuffix(".tar.gz")


def _variables(python: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "CELER"))}
    return {**kept, "PATH": f"{python.parent}{os.pathsep}{kept['PATH']}", "C_FORCE_ROOT": "1"}


FLOWER = Suite(
    "flower",
    ALONE,
    ("tests/unit",),
    fails={
        "tests/unit/test_command.py::TestFlowerCommand::test_autodiscovery": (
            "it replaces the private method _autodiscover_tasks of the app, which is not there"
        ),
        "tests/unit/test_command.py::TestPrintBanner::test_print_banner": _BANNER,
        "tests/unit/test_command.py::TestPrintBanner::test_print_banner_with_ssl": _BANNER,
        "tests/unit/utils/test_search.py::TestSearchIndexLifecycle::"
        "test_event_removes_the_actual_least_recently_used_task": (
            "state.tasks forgets the tasks with the oldest events; reading one does not keep it longer"
        ),
        "tests/unit/utils/test_utils.py::BugreportTests::test_default": _REPORT,
        "tests/unit/utils/test_utils.py::BugreportTests::test_with_app": _REPORT,
    },
)

SUITES = (
    FLOWER,
    Suite(
        "django-celery-beat",
        fails={
            "t/unit/test_models.py::CrontabScheduleTestCase::test_default_timezone_with_settings_config": (
                "the fixture celery_app makes its app the current one here, also without depends_on_current_app"
            ),
            "t/unit/test_schedulers.py::test_DatabaseScheduler::test_heap_always_return_the_first_item": _SAME,
        },
    ),
    Suite(
        "django-celery-results",
        left_out={
            "t/unit/backends/test_database.py": (
                "it builds requests with celery.worker.request.Request, celery.worker.strategy.hybrid_to_proto2 and "
                "app.amqp.task_protocols, which are the inside of Celery's worker"
            ),
            "t/integration/benchmark_models.py": "it measures Django alone, with bounds on seconds",
        },
        fails={
            "t/unit/test_models.py::test_Models::test_retry_store_result_fails": _SHARED,
            "t/unit/test_models.py::test_Models::test_retry_store_result_succeeds": _SHARED,
            "t/unit/test_models.py::test_Models::test_store_group_result": _SHARED,
            "t/unit/test_models.py::test_Models::test_store_result": _SHARED,
        },
    ),
    Suite(
        "celery-redbeat",
        fails={
            "tests/test_entry.py::test_RedBeatEntry::test_generate_key": (
                "it expects that app.conf does not list settings of add_defaults, which it does here"
            ),
            "tests/test_json.py::RedBeatJSONDecoderTestCase::test_rrule": (
                "it expects that schedules of different rules are equal, which they are not here"
            ),
            "tests/test_scheduler.py::test_RedBeatScheduler_tick::test_due_now": (
                f"{_SAME}: entries are sent with the header celery_beat_task"
            ),
        },
        may_fail={
            "tests/test_entry.py::test_RedBeatEntry::test_due_at_never_run": "two looks at the clock have to agree",
        },
    ),
)
