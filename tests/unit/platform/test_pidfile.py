"""One process at a time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.platform.pidfile import PidfileHeld, acquire, pidfile, read_pid, release

if TYPE_CHECKING:
    from pathlib import Path

#: Larger than any process id.
NOBODY = 2**22 + 1


def test_file_holds_the_id_and_a_newline_while_the_block_runs(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with pidfile(str(path)):
        assert path.read_text() == f"{os.getpid()}\n"
        assert path.stat().st_mode & 0o777 == 0o644
    assert not path.exists()


def test_file_goes_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with pytest.raises(ZeroDivisionError), pidfile(str(path)):
        raise ZeroDivisionError
    assert not path.exists()


def test_no_path_holds_nothing(tmp_path: Path) -> None:
    with pidfile(None):
        assert list(tmp_path.iterdir()) == []


def test_file_of_a_living_process_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(PidfileHeld) as error:
        acquire(path)
    assert error.value.pid == os.getppid()
    assert path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{NOBODY}\n", "Stale pidfile"),
        (f"{os.getpid()}\n", "Stale pidfile"),
        ("", "Broken pidfile"),
        ("12", "Broken pidfile"),
        ("twelve\n", "Broken pidfile"),
    ],
    ids=["dead", "own", "empty", "unfinished", "no-number"],
)
def test_stale_and_broken_files_are_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, message: str
) -> None:
    path = tmp_path / "x.pid"
    path.write_text(content)
    acquire(path)
    assert read_pid(path) == os.getpid()
    assert message in caplog.text


def test_file_of_another_process_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    with pidfile(str(path)):
        path.write_text(f"{os.getppid()}\n")
    assert path.exists()
    release(path)
    assert path.exists()


def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"nowhere/x\.pid cannot be written: No such file"):
        acquire(tmp_path / "nowhere" / "x.pid")


def test_child_made_by_fork_does_not_remove_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.pid"
    with pidfile(str(path)):
        monkeypatch.setattr(os, "getpid", lambda: NOBODY)
    assert path.exists()
