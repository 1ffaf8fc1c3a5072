"""What Celery's beat has left in its file is taken over; `golden/schedule.json` is what real Celery wrote at noon."""

from __future__ import annotations

import base64
import dbm.dumb
import json
import os
import pickle
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.beat import PersistentScheduler
from celeriac.schedules import crontab, schedule
from tests.support.beat_clock import NOON, FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parents[2] / "interop" / "golden" / "schedule.json"
WRITTEN = {name: base64.b64decode(data) for name, data in json.loads(GOLDEN.read_text()).items()}
ENTRIES: dict[str, dict[str, Any]] = {
    "interval": {"task": "interval", "schedule": 600},
    "hourly": {"task": "hourly", "schedule": crontab(minute=30)},
    "daily": {"task": "daily", "schedule": crontab("0", "7-9", "mon-fri")},
    "missed": {"task": "missed", "schedule": crontab(minute="50")},
    "changed": {"task": "changed", "schedule": 45},
    "fresh": {"task": "fresh", "schedule": schedule(3600, relative=True)},
    "new": {"task": "new", "schedule": 3600},
}


class Recording(PersistentScheduler):
    """Notes when it would have sent what, in seconds from noon."""

    sent: list[tuple[str, int]]

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        self.sent.append((args[0], round(self.clock.time() - NOON)))


def write_dumb(path: Path, values: dict[str, bytes]) -> None:
    with closing(dbm.dumb.open(str(path), "n")) as file:
        for name, data in values.items():
            file[name] = data


def write_sqlite(path: Path, values: dict[str, bytes]) -> None:
    """As Python 3.13 and later keep it."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE Dict (key BLOB UNIQUE NOT NULL, value BLOB NOT NULL)")
        database.executemany("INSERT INTO Dict VALUES (?, ?)", [(name.encode(), data) for name, data in values.items()])
        database.commit()


def run(path: Path, hours: float = 0.6, store: str | None = None, **conf: Any) -> list[tuple[str, int]]:
    """Let a beat run from noon on; returns what it sent."""
    settings = {"beat_schedule": ENTRIES, "beat_schedule_filename": str(path), "timezone": "Europe/Prague", **conf}
    app = Celery("proj", set_as_current=False, changes=settings, backend="disabled://")
    clock = FakeClock()
    beat = Recording.__new__(Recording)
    beat.sent = []
    beat.__init__(app, clock=clock, schedule_filename=store)  # type: ignore[misc]
    with closing(beat):
        while clock.now < NOON + hours * 3600:
            clock.sleep(min(max(beat.tick(), 0.01), 60.0))
    return beat.sent


#: As Celery would have gone on: what was missed runs at once, and what has changed is counted from now.
EXPECTED = sorted(
    [
        ("interval", 300),
        ("interval", 900),
        ("interval", 1500),
        ("interval", 2100),
        ("hourly", 1800),
        ("missed", 0),
        ("fresh", 0),
    ]
    + [("changed", at) for at in range(45, 2160, 45)]
)


@pytest.mark.parametrize("write", [write_dumb, write_sqlite])
def test_times_of_celerys_file_are_taken_over(
    tmp_path: Path, write: Callable[[Path, dict[str, bytes]], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "celerybeat-schedule"
    write(path, WRITTEN)
    with caplog.at_level("INFO"):
        found = run(path)
    assert sorted(found) == EXPECTED
    assert "when 5 entries ran last" in caplog.text
    # A schedule deleted later begins anew, rather than where Celery stopped once.
    for each in tmp_path.glob("celerybeat-schedule*"):
        if "taken-over" not in each.name:
            each.unlink()
    assert ("missed", 0) not in run(path)


def test_times_are_taken_over_into_another_store(tmp_path: Path) -> None:
    path = tmp_path / "celerybeat-schedule"
    write_dumb(path, WRITTEN)
    assert sorted(run(path, store=f"sqlite:///{tmp_path}/other.db")) == EXPECTED
    assert (
        sorted(each.name.partition("taken-over")[0] for each in tmp_path.glob("celerybeat-schedule*"))
        == ["celerybeat-schedule."] * 3
    )


def test_file_of_another_zone_is_not_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "celerybeat-schedule"
    write_dumb(path, WRITTEN)
    assert ("missed", 0) not in run(path, timezone="Asia/Tokyo")
    assert "tz 'Europe/Prague', and the app has 'Asia/Tokyo'" in caplog.text


@pytest.mark.parametrize("values", [{}, {"entries": b"\x80\x04nonsense"}, {"entries": pickle.dumps([1])}])
def test_damaged_file_is_not_taken_over(
    tmp_path: Path, values: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "celerybeat-schedule"
    write_dumb(path, values)
    assert run(path, hours=0.01) == []
    assert "cannot be taken over" in caplog.text


class Evil:
    """Its pickle would make a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class ScheduleEntry:
    """Pickles as Celery's."""

    def __init__(self, *fields: Any) -> None:
        self.fields = fields

    def __reduce__(self) -> Any:
        return type(self), self.fields


ScheduleEntry.__module__ = "celery.beat"


class Seconds(schedule):
    """A schedule of a project's own."""


def pickled(monkeypatch: pytest.MonkeyPatch, entries: dict[str, Any]) -> bytes:
    module = ModuleType("celery.beat")
    module.ScheduleEntry = ScheduleEntry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "celery", ModuleType("celery"))
    monkeypatch.setitem(sys.modules, "celery.beat", module)
    return pickle.dumps(entries)


def test_pickles_run_nothing_and_keep_classes_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = tmp_path / "celerybeat-schedule", tmp_path / "made"
    last = datetime.fromtimestamp(NOON, UTC) - timedelta(minutes=1)
    entries = {
        "own": ScheduleEntry("own", "own", last, 3, Seconds(100), (Evil(made),), {}, {}),
        "bare": ScheduleEntry("bare", "bare", last.replace(tzinfo=None), 3, Evil(made), (), {}, {}),
        "odd": Evil(made),
    }
    write_dumb(path, {"entries": pickled(monkeypatch, entries)})
    ours = {"own": {"task": "own", "schedule": Seconds(100)}, "bare": {"task": "bare", "schedule": 100}}
    assert run(path, hours=0.035, beat_schedule=ours) == [("own", 40), ("bare", 100)]
    assert not made.exists()
