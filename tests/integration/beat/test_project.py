"""The schedule of a project that was made for Celery: every kind of entry, and what Celery's beat has left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support import PATIENCE, wait_until
from tests.support.worker import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = """
from datetime import datetime, timedelta, timezone

from celeriac import Celery
from celeriac.beat import BeatLazyFunc, ScheduleEntry
from celeriac.schedules import crontab, schedule, solar

app = Celery("proj", broker="sqlite:///broker.db")

@app.task
def add(x=0, y=0):
    return x + y


@app.on_after_configure.connect
def early(sender, **kwargs):
    sender.add_periodic_task(10.0, add.s(1, 1), name="early", expires=5)


@app.on_after_finalize.connect
def late(sender, **kwargs):
    sender.add_periodic_task(crontab(hour=7, minute=30, day_of_week=1), add.s(2, 2))


app.conf.timezone = "Europe/Prague"
app.conf.beat_schedule = {
    "int": {"task": "proj.add", "schedule": 300, "args": (1, 2)},
    "float": {"task": "proj.add", "schedule": 0.2, "args": [BeatLazyFunc(int, "3"), 4]},
    "timedelta": {"task": "proj.add", "schedule": timedelta(hours=1), "relative": True},
    "schedule": {"task": "proj.add", "schedule": schedule(run_every=60), "kwargs": {"x": 1}},
    "crontab": {"task": "proj.add", "schedule": crontab(0, "*/3,8-17", "mon-fri"), "options": {"queue": "slow"}},
    "solar": {"task": "proj.add", "schedule": solar("sunset", -37.81753, 144.96715)},
    "entry": ScheduleEntry("entry", "proj.add", datetime.now(timezone.utc), 0, crontab(minute=30)),
}
"""
#: The head of a file of gdbm.
GDBM = b"\xce\x9a\x57\x13" + bytes(4092)


def test_schedule_of_a_project_for_celery_works(tmp_path: Path) -> None:
    (tmp_path / "proj.py").write_text(PROJECT)
    (tmp_path / "celerybeat-schedule").write_bytes(GDBM)
    command = [sys.executable, "-m", "celeriac", "-A", "proj"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT / "src"))), "PYTHONUNBUFFERED": "1"}
    log = tmp_path / "log"
    with log.open("wb") as output:
        beat = subprocess.Popen([*command, "beat", "-l", "INFO"], cwd=tmp_path, env=env, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Sending due task float (proj.add)" in log.read_text(), what=f"a run\n{log.read_text()}")
    finally:
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(PATIENCE) == 0
    assert "was written by Celery's beat" in log.read_text()
    assert [path.read_bytes() for path in tmp_path.glob("celerybeat-schedule.celery-*")] == [GDBM]
    found = json.loads(subprocess.check_output([*command, "schedule", "list", "--json"], cwd=tmp_path, env=env))
    entries = {each["name"]: each for each in found["entries"]}
    assert {
        "int",
        "float",
        "timedelta",
        "schedule",
        "crontab",
        "solar",
        "entry",
        "early",
        "proj.add(2, 2)",
    } < entries.keys()
    assert len(entries) == 10, sorted(entries)
    assert all(each["next_runs"] for each in entries.values())
    assert entries["early"]["options"]["expires"] == 5
    assert entries["timedelta"]["schedule"]["relative"] is True
    assert entries["float"]["runs"] >= 1
