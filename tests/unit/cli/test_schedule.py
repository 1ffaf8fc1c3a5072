"""``celeriac schedule`` on a file, and what ``celeriac beat`` refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac import Celery

    Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def app(app: Celery) -> Celery:
    app.conf.beat_schedule = {"mine": {"task": "proj.add", "schedule": 60, "args": (1, 2)}}
    return app


def test_entries_are_listed_for_people_and_for_scripts(cli: Cli, app: Celery) -> None:
    code, out, _ = cli("schedule", "list", app=app)
    assert code == 0
    assert "mine\n    proj.add  <freq: 1.00 minute>  next: 2" in out
    assert "Leader: none, no beat runs" in out
    found = json.loads(cli("schedule", "list", "--json", app=app)[1])
    [entry] = [each for each in found["entries"] if each["name"] == "mine"]
    assert found["leader"] is None
    assert (entry["schedule"]["seconds"], entry["source"], entry["args"]) == (60, "beat_schedule", [1, 2])


def test_entry_is_added_edited_paused_resumed_and_removed(cli: Cli, app: Celery) -> None:
    given = ("--crontab", "30 4 1 * *", "--timezone", "Asia/Tokyo", "-a", "[1]", "--misfire", "run_all:3")
    assert "nightly is added; next run: " in cli("schedule", "add", "nightly", "proj.add", *given, app=app)[1]
    shown = json.loads(
        cli("schedule", "show", "nightly", "--json", "--count", "3", "--timezone", "Asia/Tokyo", app=app)[1]
    )
    assert [run[7:] for run in shown["next_runs"]] == ["-01T04:30:00+09:00"] * 3
    assert (shown["misfire"], shown["schedule"]["tz"]) == ("run_all:3", "Asia/Tokyo")
    assert "changed" in cli("schedule", "edit", "nightly", "--every", "30", "--task", "other", app=app)[1]
    assert "is paused" in cli("schedule", "pause", "nightly", app=app)[1]
    assert "next: paused" in cli("schedule", "list", app=app)[1]
    assert "is resumed" in cli("schedule", "resume", "nightly", app=app)[1]
    assert "will be sent" in cli("schedule", "run", "nightly", app=app)[1]
    text = cli("schedule", "show", "nightly", app=app)[1]
    assert "task         other\nschedule     <freq: 30.00 seconds>" in text
    assert text.count("next run") == 5
    assert "is removed" in cli("schedule", "remove", "nightly", app=app)[1]
    assert cli("schedule", "show", "nightly", app=app)[0] == 1


def test_entry_of_the_code_is_edited_and_reset(cli: Cli, app: Celery) -> None:
    edited = json.loads(cli("schedule", "edit", "mine", "--every", "30", "-a", "[3]", "--json", app=app)[1])
    assert (edited["source"], edited["edited"]) == ("beat_schedule", ["args", "schedule"])
    assert (edited["schedule"]["seconds"], edited["args"], edited["task"]) == (30, [3], "proj.add")
    assert "  edited: args, schedule" in cli("schedule", "list", app=app)[1]
    reset = json.loads(cli("schedule", "reset", "mine", "--json", app=app)[1])
    assert (reset["edited"], reset["schedule"]["seconds"], reset["args"]) == ([], 60, [1, 2])


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["add", "x", "t"], 2, "give one of --every, --crontab"),
        (["add", "x", "t", "--every", "1", "--at", "2030-01-01"], 2, "both say when"),
        (["add", "x", "t", "--crontab", "61 * * * *"], 2, "--crontab: Invalid end range: 61 > 59."),
        (["add", "x", "t", "--crontab", "5, * * * *"], 2, "--crontab: empty part"),
        (["add", "x", "t", "--solar", "sunrise", "100", "0"], 2, "latitude"),
        (["add", "x", "t", "--every", "1", "--misfire", "no"], 1, "run_all:N"),
        (["add", "x", "t", "--crontab", "* * * * *", "--timezone", "Mars/Base"], 1, "unknown time zone 'Mars/Base'"),
        (["remove", "mine"], 1, "defined in beat_schedule"),
        (["reset", "mine"], 1, "nothing of it was edited"),
        (["edit", "mine"], 2, "nothing is to be changed"),
        (["edit", "mine", "--timezone", "UTC"], 2, "give that too"),
        (["pause", "nothing"], 1, "no entry 'nothing'"),
        (["-s", "redis://127.0.0.1:1/0", "list"], 69, "Could not connect to the schedule store"),
        (["-s", "mongodb://x", "list"], 1, "unknown scheme"),
    ],
)
def test_what_cannot_be_done_says_why(cli: Cli, app: Celery, argv: list[str], code: int, text: str) -> None:
    found, _, err = cli("schedule", *argv, app=app)
    assert (found, text in err) == (code, True), err


def test_once_in_the_zone_of_the_app(cli: Cli, app: Celery) -> None:
    app.conf.timezone = "Europe/Prague"
    assert "2035-07-01 12:00:00+02:00" in cli("schedule", "add", "x", "t", "--at", "2035-07-01T12:00", app=app)[1]


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (["-S", "no.where"], 1, "cannot be imported"),
        (["--max-interval", "x"], 2, "not a valid float"),
        (["--", "nonsense"], 2, "Unable to parse extra configuration"),
    ],
)
def test_beat_refuses(cli: Cli, app: Celery, argv: list[str], code: int, text: str) -> None:
    found, _, err = cli("beat", *argv, app=app)
    assert (found, text in err) == (code, True), err
