"""``celeriac worker --beat``."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

from celeriac.beat.store import open_store
from tests.support import wait_until
from tests.support.client_app import Site

if TYPE_CHECKING:
    from pathlib import Path


def test_worker_sends_periodic_tasks_and_runs_them(tmp_path: Path) -> None:
    conf = {
        "broker_url": f"sqlite:///{tmp_path}/broker.db",
        "result_backend": "disabled://",
        "task_default_queue": "periodic",
        "beat_schedule": {"often": {"task": "where", "schedule": 0.5, "args": ["mine"]}},
    }
    path = str(tmp_path / "schedule")
    with closing(Site(conf, tmp_path)) as site:
        worker = site.start("-B", "-s", path)
        wait_until(lambda: site.ledger.count("where", key="mine") >= 3, what="tasks were sent and run")
        assert worker.stop(signal.SIGTERM) == 0, worker.log
        assert "Scheduler: Sending due task often (where)" in worker.log
        assert "Traceback" not in worker.log
    # It has let go of the leadership.
    with closing(open_store(path, "client")) as store:
        assert store.leader() is None
