"""A beat that dies between sending a run and noting that it was sent: the next one does not send it a second time."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.support import PATIENCE
from tests.support.beat import BeatSite

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("server", ["sqlite", "redis", "postgresql", "mysql", "amqp"])
def test_a_run_is_not_sent_again_after_a_crash(request: pytest.FixtureRequest, tmp_path: Path, server: str) -> None:
    url = f"sqlite:///{tmp_path}/all.db" if server == "sqlite" else request.getfixturevalue(f"{server}_url")
    entry = {"task": "t", "schedule": 0.3, "misfire": "run_all:1000"}
    store = f"sqlite:///{tmp_path}/schedule" if server == "amqp" else url
    conf = {"broker_url": url, "beat_store_url": store, "beat_lease": 2.0, "beat_schedule": {"often": entry}}
    with closing(BeatSite(conf, tmp_path)) as site:
        dead = [site.start(crash=True) for _ in range(2)]
        # Each of them has sent one run, the second that of the first, which was refused.
        assert [process.wait(PATIENCE) for process in dead] == [-signal.SIGKILL] * 2, site.log
        alive = site.start()
        site.receive(3)
        alive.send_signal(signal.SIGTERM)
        assert alive.wait(PATIENCE) == 0, site.log
        with site.book() as book:
            record = book.line("often").record
        ids = [each["id"] for each in site.receive(record.count)]
        assert len(set(ids)) == len(ids) == record.count
        # That it was sent again would be seen here.
        assert len(site.receive(0)) == record.count
