"""Several beats, of which the leader is killed or stopped again and again: every run is sent, and sent once."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.beat import BeatSite

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds; short, to see many changes of leader.
LEASE = 2.0


def has_other_leader(site: BeatSite, lost: int) -> bool:
    return site.leader() not in (None, lost)


@pytest.mark.parametrize(
    ("number", "times"),
    [
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.chaos("sample")),
        pytest.param(signal.SIGKILL, 30, marks=pytest.mark.chaos("full")),
        pytest.param(signal.SIGSTOP, 20, marks=pytest.mark.chaos("full")),
    ],
)
@pytest.mark.timeout(400)
def test_leader_lost_again_and_again(redis_url: str, tmp_path: Path, number: int, times: int) -> None:
    conf = {
        "broker_url": redis_url,
        "beat_store_url": redis_url,
        "beat_lease": LEASE,
        "beat_schedule": {"often": {"task": "t", "schedule": 0.5, "misfire": "run_all:10000"}},
    }
    with closing(BeatSite(conf, tmp_path)) as site:
        for _ in range(3):
            site.start()
        for _ in range(times):
            site.receive(len(site.received) + 2)
            leader: int = wait_until(lambda: site.leader() or 0, what="a leader")
            os.kill(leader, number)
            wait_until(partial(has_other_leader, site, leader), what="another leader")
            if number == signal.SIGKILL:
                site.start()
            else:
                os.kill(leader, signal.SIGCONT)
        site.receive(len(site.received) + 3)
        for process in site.beats.values():
            process.send_signal(signal.SIGTERM)
        for process in site.beats.values():
            process.wait(PATIENCE)
        with site.book() as book:
            record = book.line("often").record
        site.receive(record.count)
        ids = [each["id"] for each in site.received]
        # Every run has its number, so that a lost one would be missing; one that was being sent at the moment
        # of a kill comes again under its id.
        assert len(set(ids)) == record.count
        assert len(ids) - len(set(ids)) <= times
        assert record.claimed is None
