"""Beat answers ``celeriac inspect ping``."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING

from tests.support import PATIENCE, wait_until
from tests.support.beat import BeatSite
from tests.support.servers import unique

if TYPE_CHECKING:
    from pathlib import Path


def test_beat_answers_pings_and_is_silent_about_other_commands(redis_url: str, tmp_path: Path) -> None:
    node = f"{unique('beat')}@here"
    conf = {
        "broker_url": redis_url,
        "beat_schedule_filename": str(tmp_path / "schedule"),
        "control_exchange": unique("control"),
    }
    with closing(BeatSite(conf, tmp_path)) as site:
        beat = site.start("--enable-remote-control", "-n", node)
        control = site.app.control
        assert wait_until(lambda: control.ping([node], timeout=1.0), what=f"a pong\n{site.log}") == [
            {node: {"ok": "pong"}}
        ]
        assert control.inspect([node], timeout=0.5).active() is None
        assert control.ping([node], timeout=PATIENCE, limit=1) == [{node: {"ok": "pong"}}]
        beat.send_signal(signal.SIGTERM)
        assert beat.wait(PATIENCE) == 0, site.log
