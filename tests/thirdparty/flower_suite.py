"""The tests that Flower ships, with `celeriac-as-celery` in the place of Celery: which fail here, and why."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.thirdparty.environment import ALONE, REQUIREMENTS
from tests.thirdparty.programs import ALONE as KIND
from tests.thirdparty.programs import variables

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds that a suite may take.
PATIENCE = 1200.0


@dataclass(frozen=True)
class Suite:
    """The tests of a distribution.

    Attributes:
        distribution: Its name.
        tests: Where they are in it.
        options: Of pytest.
        failing: Tests that fail, and why.
    """

    distribution: str
    tests: str
    options: tuple[str, ...] = ()
    failing: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version in the environment."""
        found = re.search(rf"^{re.escape(self.distribution)}==(\S+)", REQUIREMENTS.read_text(), re.MULTILINE)
        assert found is not None, f"{self.distribution} is not in {REQUIREMENTS}"
        return found[1]

    def failures(self, directory: Path) -> dict[str, str]:
        """Run them; the tests that failed, and the rest of their lines in pytest's summary.

        Args:
            directory: Where the source distribution goes.
        """
        source = self._fetch(directory)
        command = [str(ALONE.ensure()), "-m", "pytest", self.tests, "-q", "-rfE", "-o", "addopts=", "-W", "ignore"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", *self.options], cwd=source, env=variables(KIND, {}),
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stdout[-4000:] + done.stderr[-4000:]
        lines = re.findall(r"^(?:FAILED|ERROR) (\S+)(.*)$", done.stdout, re.MULTILINE)
        assert lines or done.returncode == 0, done.stdout[-4000:]
        return dict(lines)

    def _fetch(self, directory: Path) -> Path:
        # uv downloads no source distributions; the interpreter of the system has pip.
        pip = [f"{sys.base_prefix}/bin/python3", "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
        wanted = f"{self.distribution}=={self.version}"
        subprocess.run([*pip, "-d", str(directory), wanted], check=True, capture_output=True, timeout=PATIENCE)
        (archive,) = directory.glob("*.tar.gz")
        with tarfile.open(archive) as opened:
            opened.extractall(directory, filter="data")
        return archive.with_name(archive.name.removesuffix(".tar.gz"))


_BANNER = "the URL amqp:// is shown as it was given, not completed by user, host and port"
_REPORT = "app.bugreport() names celeriac and its versions, not celery"

FLOWER = Suite(
    "flower",
    "tests/unit",
    failing={
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
