"""Where databases are, and how their lock is waited for."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from celeriac.drivers.sqlite import Database, DatabaseLocked, database_path, default_path
from celeriac.exceptions import ImproperlyConfigured, OperationalError, SessionLost
from tests.support import PATIENCE, SLACK


def test_default_path_is_in_the_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path("proj") == tmp_path / "celeriac" / "proj.sqlite3"
    monkeypatch.chdir(tmp_path)
    assert database_path("sqlite://", "proj") == default_path("proj")


@pytest.mark.parametrize(
    ("name", "file"),
    [("../../etc/passwd", "_.._etc_passwd.sqlite3"), ("", "default.sqlite3"), ("a b/č", "a_b_.sqlite3")],
)
def test_application_names_become_file_names(name: str, file: str) -> None:
    assert default_path(name).name == file


def test_urls_name_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert database_path("sqlite:////abs/x.db") == Path("/abs/x.db")
    assert database_path("sqlite:///rel/x.db") == tmp_path / "rel" / "x.db"


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///:memory:", "sqlite://host/x.db"])
def test_urls_that_name_no_file_are_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        database_path(url)


def test_the_lock_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", timeout=PATIENCE)
    database.execute("CREATE TABLE t (x)")
    holder = sqlite3.connect(tmp_path / "db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(DatabaseLocked), database.within(0.1):
        database.execute("INSERT INTO t VALUES (1)")
    assert 0.09 < time.monotonic() - started < SLACK
    holder.execute("COMMIT")
    assert database.execute("INSERT INTO t VALUES (1)") == 1
    holder.close()
    database.close()


def test_a_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", timeout=PATIENCE)
    database.execute("CREATE TABLE t (x)")
    with pytest.raises(ValueError, match="stop"), database.transaction():
        database.execute("INSERT INTO t VALUES (1)")
        raise ValueError("stop")
    assert database.query("SELECT count(*) FROM t") == [(0,)]
    database.close()


def test_errors_of_the_driver_are_translated(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", timeout=PATIENCE)
    with pytest.raises(OperationalError, match="no such table"):
        database.query("SELECT * FROM missing")
    database.close()


def test_a_file_that_is_no_database_is_an_operational_error(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"not a database" * 100)
    with pytest.raises(OperationalError):
        Database(tmp_path / "db", timeout=PATIENCE)


def test_a_connection_of_another_process_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", timeout=PATIENCE)
    database.pid = os.getpid() + 1
    with pytest.raises(SessionLost, match="before a fork"):
        database.query("SELECT 1")
    database.pid = os.getpid()
    database.close()
