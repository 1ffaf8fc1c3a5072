"""``celeriac beat`` and ``celeriac schedule`` as processes."""

from __future__ import annotations

import contextlib
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from celeriac.beat.book import definition_of
from celeriac.schedules import schedule
from tests.support import PATIENCE, wait_until
from tests.support.beat import BeatSite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BeatSite]:
    conf = {
        "broker_url": f"sqlite:///{tmp_path}/broker.db",
        "beat_schedule_filename": str(tmp_path / "schedule"),
        "beat_schedule": {"often": {"task": "t", "schedule": 0.3, "args": [1], "misfire": "run_all:100"}},
    }
    with closing(BeatSite(conf, tmp_path)) as site:
        yield site


def test_beat_sends_until_it_is_stopped_and_goes_on_after_kill(site: BeatSite) -> None:
    first = site.start("--max-interval", "20", "-n", "mine")
    headers = site.receive(2)[0]
    assert (headers["task"], headers["celery_beat_task"], headers["argsrepr"]) == ("t", True, "[1]")
    assert f". db -> sqlite:///{site.directory}/schedule" in site.log
    assert ". maxinterval -> 20.00 seconds (20s)" in site.log
    assert "Scheduler: Sending due task often (t)" in site.log
    # An entry added now is sent by the process that runs.
    with site.book() as book:
        book.add("later", definition_of("added", schedule(0.5)))
    wait_until(lambda: any(each["task"] == "added" for each in site.receive(0)), what="the added entry runs")
    with site.book() as book:
        assert book.leader() is not None
        # They arrive before it is noted that they were sent.
        wait_until(lambda: book.line("often").record.count >= 2, what="two runs are noted")
    first.send_signal(signal.SIGTERM)
    assert first.wait(PATIENCE) == 0, site.log
    assert site.leader() is None
    # Nobody has to wait for the lease of one that has left in order.
    before = len(site.received)
    second = site.start()
    site.receive(before + 3)
    assert second.poll() is None
    ids = [each["id"] for each in site.received]
    assert len(ids) == len(set(ids))


def test_scheduler_of_ones_own(site: BeatSite) -> None:
    site.start("-S", "celery.beat:Scheduler")
    assert [each["task"] for each in site.receive(2)][:2] == ["t", "t"]
    assert ". scheduler -> celeriac.beat.scheduler.Scheduler" in site.log


def test_daemon_logs_to_its_file_and_only_one_holds_the_pidfile(site: BeatSite) -> None:
    pidfile, log, own = (site.directory / name for name in ("beat.pid", "own.log", "kept"))
    options = (
        "--pidfile",
        str(pidfile),
        "-f",
        str(log),
        "-s",
        str(own),
        "--max-interval",
        "0.5",
        "-S",
        "celery.beat:PersistentScheduler",
    )
    starter = site.start("--detach", *options)
    assert starter.wait(PATIENCE) == 0, site.log
    # A daemon is no child: closed below by its pid.
    wait_until(lambda: pidfile.exists() and pidfile.read_text(), what="the pidfile")
    daemon = int(pidfile.read_text())
    try:
        wait_until(lambda: "Sending due task often (t)" in log.read_text(), what="a run in the log")
        assert own.exists()
        second = site.start(*options)
        assert second.wait(PATIENCE) != 0
        assert str(pidfile) in site.log
        os.kill(daemon, signal.SIGTERM)
        wait_until(lambda: not pidfile.exists(), what="the daemon ends")
        assert "beat: Shutting down..." in log.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(daemon, signal.SIGKILL)
