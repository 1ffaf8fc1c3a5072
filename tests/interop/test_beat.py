"""Celery's workers run what our beat sends, and our crontabs say what Celery's say."""

from __future__ import annotations

import random
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from celeriac import Celery
from celeriac.beat import PersistentScheduler
from tests.interop.fleet import CELERIAC, CELERY, Fleet
from tests.support import PATIENCE
from tests.support.beat_clock import FakeClock
from tests.support.servers import unique

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_celery_workers_run_what_beat_sends(fleet: Fleet, tmp_path: Path) -> None:
    worker, task_id, clock = fleet.worker(CELERY), unique("tick"), FakeClock(time.time())
    options = {"queue": fleet.queue(CELERY), "task_id": task_id, "expires": 600}
    entries = {"e": {"task": "tests.interop.tasks.echo", "schedule": 10, "args": ("hello",), "options": options}}
    changes = {**fleet.conf, "beat_schedule": entries, "beat_schedule_filename": str(tmp_path / "schedule")}
    with Celery("beat", set_as_current=False, changes=changes) as app:
        beat = PersistentScheduler(app, clock=clock)
        with closing(beat):
            beat.tick()
            clock.sleep(11)
            beat.tick()
        assert app.AsyncResult(task_id).get(timeout=PATIENCE) == "hello", worker.log[-2000:]


def some_field(rng: random.Random, low: int, high: int) -> str:
    def number() -> str:
        return str(rng.randint(low, high))

    return rng.choice([
        "*", "*", f"*/{number()}", f"{number()}-{number()}", f"{number()},{number()}",
        f"{number()}-{number()}/{rng.randint(1, 4)}", f"{number()}/2", f"{number()},", f"-{number()}",
    ])  # fmt: skip


def test_crontabs_say_what_those_of_celery_say(make_fleet: Callable[..., Fleet], redis_url: str) -> None:
    fleet, rng = make_fleet(broker_url=redis_url), random.Random(7)
    for _ in range(400):
        fields = [some_field(rng, low, high) for low, high in ((0, 59), (0, 23), (0, 6), (1, 31), (1, 12))]
        last = datetime(
            2026, rng.randint(1, 12), rng.randint(1, 28), rng.randint(4, 20), rng.randint(0, 59), tzinfo=UTC
        )
        asked = (fields, last, last + timedelta(seconds=rng.randint(0, 9000)), "Asia/Tokyo")
        assert fleet.client(CELERIAC)("ask_crontab", *asked) == fleet.client(CELERY)("ask_crontab", *asked), asked
