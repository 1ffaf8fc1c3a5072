"""celery-redbeat, unmodified: its scheduler in our beat, its entries."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from celeriac.drivers.resp import RespConnection
from celeriac.drivers.resp_params import params_from_url
from tests.support import PATIENCE, wait_until
from tests.support.servers import unique
from tests.thirdparty.programs import run, running

if TYPE_CHECKING:
    from pathlib import Path

ADD = """
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from shop import app
RedBeatSchedulerEntry("often", "shop.add", schedule(1), args=[1, 2], app=app).save()
RedBeatSchedulerEntry("hourly", "shop.add", crontab(minute=0), args=[3, 4], app=app).save().reschedule()
"""
LOOK = """
import json
from redbeat import RedBeatSchedulerEntry
from shop import app
often = RedBeatSchedulerEntry.from_key("redbeat:often", app=app)
hourly = RedBeatSchedulerEntry.from_key("redbeat:hourly", app=app)
print(json.dumps([often.total_run_count, often.args, repr(hourly.schedule), hourly.total_run_count]))
often.delete()
"""


def test_entries_of_redis_run(kind: str, redis: str, tmp_path: Path) -> None:
    queue = unique("redbeat")
    told = {"SHOP_BROKER": redis, "SHOP_RESULTS": redis, "SHOP_QUEUE": queue}
    server = RespConnection(params_from_url(redis, connect_timeout=PATIENCE, timeout=PATIENCE))
    run(kind, "python", "-c", ADD, env=told)

    def sent() -> list[Any]:
        return [json.loads(message) for message in server.execute("LRANGE", queue, 0, -1)]

    command = ("celery", "-A", "shop", "beat", "-l", "INFO", "-S", "redbeat.RedBeatScheduler", "--max-interval", "1")
    with running(kind, *command, log=tmp_path / "beat.log", ready="beat: Acquired lock", env=told) as beat:
        wait_until(lambda: len(sent()) >= 2, what="beat sends the entry twice")
        assert server.execute("EXISTS", "redbeat::lock") == 1
        assert beat.stop() == 0, beat.log
    assert "redbeat.schedulers.RedBeatScheduler" in beat.log
    assert server.execute("EXISTS", "redbeat::lock") == 0
    assert {message["headers"]["task"] for message in sent()} == {"shop.add"}
    runs, args, schedule, runs_of_hourly = json.loads(run(kind, "python", "-c", LOOK, env=told))
    assert runs == len(sent())
    assert (args, schedule, runs_of_hourly) == ([1, 2], "<crontab: 0 * * * * (m/h/dM/MY/d)>", 0)
