"""The commands ``shell``, ``upgrade`` and ``logtool``."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from celeriac.cli.shell import namespace
from celeriac.config.names import OLD_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from celeriac import Celery

    Cli = Callable[..., tuple[int, str, str]]

# ---------------------------------------------------------------------------------------------------- shell


def test_shell_knows_app_tasks_and_canvas(app: Celery) -> None:
    names = namespace(app, tasks=True)
    assert names["app"] is names["celery"] is app
    assert names["add"] is app.tasks["proj.add"]
    wanted = {"Task", "chord", "group", "chain", "chunks", "xmap", "xstarmap", "subtask", "signature"}
    assert wanted <= names.keys()
    assert "backend_cleanup" not in names
    assert "add" not in namespace(app, tasks=False)


def test_shell_runs_what_is_typed(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("print('sum', add(2, 3))\n"))
    code, out, _ = cli("shell", "--python", app=app)
    assert code == 0
    assert "sum 5" in out


def test_shell_that_is_not_installed_is_named(cli: Cli, app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bpython", None)
    code, _, err = cli("shell", "--bpython", app=app)
    assert code == 2
    assert "pip install bpython" in err


# -------------------------------------------------------------------------------------------------- upgrade


@pytest.mark.parametrize("old", sorted(OLD_NAMES))
def test_every_old_name_is_renamed(cli: Cli, tmp_path: Path, old: str) -> None:
    file = tmp_path / "conf.py"
    file.write_text(f"{old} = 1  # {old}\n{old}_OF_MINE = 2\n")
    cli("upgrade", "settings", str(file))
    new = OLD_NAMES[old]
    assert file.read_text() == f"{new} = 1  # {new}\n{old}_OF_MINE = 2\n"


def test_names_are_put_under_a_namespace_for_django(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_text("BROKER_URL = 'x'\nCELERY_RESULT_BACKEND = 'y'\nDEBUG = True\n")
    code, out, _ = cli("upgrade", "settings", "--django", str(file))
    assert (code, "BROKER_URL -> CELERY_BROKER_URL" in out) == (0, True)
    assert file.read_text() == "CELERY_BROKER_URL = 'x'\nCELERY_RESULT_BACKEND = 'y'\nDEBUG = True\n"


def test_backup_is_kept_unless_refused(cli: Cli, tmp_path: Path) -> None:
    file, backup = tmp_path / "conf.py", tmp_path / "conf.py.orig"
    file.write_text("BROKER_URL = 'x'\n")
    cli("upgrade", "settings", "--no-backup", str(file))
    assert not backup.exists()
    file.write_text("BROKER_URL = 'x'\n")
    cli("upgrade", "settings", str(file))
    assert backup.read_text() == "BROKER_URL = 'x'\n"


def test_file_without_old_names_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "conf.py"
    file.write_text("broker_url = 'x'\n")
    assert "There is no old name" in cli("upgrade", "settings", str(file))[1]
    assert not (tmp_path / "conf.py.orig").exists()


# -------------------------------------------------------------------------------------------------- logtool

LOG = """\
[2026-01-01 10:00:00,000: INFO/MainProcess] w@h ready.
[2026-01-01 10:00:01,000: INFO/MainProcess] Task shop.add[id-1] received
[2026-01-01 10:00:01,100: INFO/ForkPoolWorker-1] Task shop.add[id-1] succeeded in 0.1s: 3
[2026-01-01 10:00:02,000: INFO/MainProcess] Task shop.fail[id-2] received
[2026-01-01 10:00:02,100: ERROR/ForkPoolWorker-1] Task shop.fail[id-2] raised unexpected: ValueError('sold out')
Traceback (most recent call last):
ValueError: sold out
[2026-01-01 10:00:03,000: INFO/MainProcess] Task shop.slow[id-3] received: due later, kept by the broker
[2026-01-01 10:00:04,000: INFO/MainProcess] Task shop.slow[id-3] received
"""


@pytest.fixture
def log(tmp_path: Path) -> str:
    """A log of a worker."""
    file = tmp_path / "worker.log"
    file.write_text(LOG)
    return str(file)


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        ("traces", [5, 6]),
        ("errors", [4]),
        ("debug", [0]),
    ],
)
def test_parts_of_a_log(cli: Cli, log: str, part: str, lines: list[int]) -> None:
    written = LOG.splitlines()
    assert cli("logtool", part, log)[1].splitlines() == [written[number] for number in lines]


def test_tasks_are_counted(cli: Cli, log: str) -> None:
    numbers = json.loads(cli("logtool", "stats", "--json", log, log)[1])
    assert numbers["types"] == {"shop.add": 2, "shop.fail": 2, "shop.slow": 2}
    assert {name: numbers["tasks"][name] for name in ("total", "errors", "succeeded")} == {
        "total": 6, "errors": 2, "succeeded": 2,
    }  # fmt: skip
    assert "shop.slow" in cli("logtool", "stats", log)[1]


def test_tasks_that_have_not_ended_are_listed(cli: Cli, log: str) -> None:
    assert cli("logtool", "incomplete", log)[1] == "Did not complete: id-3 shop.slow\n"
    assert json.loads(cli("logtool", "incomplete", "--json", log)[1]) == [{"id": "id-3", "name": "shop.slow"}]
