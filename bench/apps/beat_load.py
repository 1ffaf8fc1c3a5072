"""Beat with many entries: how long it takes to start, what an idle tick costs, and how late its runs are.

Run as ``python -m bench.apps.beat_load ENTRIES SECONDS STARTED`` in Celeriac's environment, in an empty directory;
STARTED is the Unix time of the call.  Prints its numbers as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.apps.common import SETTINGS
from celeriac import Celery, signals
from celeriac.beat import PersistentScheduler, Service
from celeriac.schedules import crontab

if TYPE_CHECKING:
    from celeriac.beat import Scheduler

#: Entries that run every second.
OFTEN = 10
#: Ticks whose cost is measured.
TICKS = 200


def main(argv: list[str]) -> int:
    """Measure, and print."""
    entries, seconds, started = int(argv[0]), float(argv[1]), float(argv[2])
    logging.getLogger("celeriac").addHandler(logging.NullHandler())
    app = Celery("beats", broker=SETTINGS.broker_url)
    conf = app.conf
    conf.result_backend, conf.beat_schedule_filename = "disabled://", "schedule"
    conf.task_default_queue = SETTINGS.queue
    conf.beat_schedule = _schedule(entries)
    scheduler = PersistentScheduler(app)
    scheduler.tick()
    numbers = {"beat_start_s": time.time() - started, "beat_start_cpu_s": time.process_time()}
    numbers["idle_tick_ms"] = _idle_tick_ms(scheduler)
    scheduler.close()
    before = time.perf_counter()
    service = Service(app)
    service.scheduler.tick()
    numbers["beat_restart_s"] = time.perf_counter() - before
    numbers |= _late(service, seconds)
    print(json.dumps({**numbers, "entries": entries, "load": os.getloadavg()[1]}), flush=True)
    app.close()
    return 0


def _schedule(entries: int) -> dict[str, Any]:
    """Half of them crontabs, half intervals, none of them due within the hour; and some of every second."""
    far = time.gmtime(time.time() + 6 * 3600).tm_hour
    schedule: dict[str, Any] = {}
    for number in range(entries - OFTEN):
        when: Any = crontab(minute=number % 60, hour=far) if number % 2 else 7200 + number
        schedule[f"entry {number}"] = {"task": "t", "schedule": when, "args": (number,)}
    for number in range(OFTEN):
        schedule[f"often {number}"] = {"task": f"often {number}", "schedule": 1.0, "misfire": "run_all:100000"}
    return schedule


def _idle_tick_ms(scheduler: Scheduler) -> float:
    """CPU time of a tick in which nothing is due; what takes longer had something to send."""
    costs = []
    for _ in range(TICKS):
        before = time.process_time()
        scheduler.tick()
        costs.append(time.process_time() - before)
    return median(costs) * 1e3


def _late(service: Service, seconds: float) -> dict[str, float]:
    """How long after its time each run of every second was with the broker."""
    scheduler: Any = service.scheduler
    anchors = {name: scheduler.standing.record(name).anchor for name in scheduler.schedule if name.startswith("often")}
    sent: dict[str, list[float]] = defaultdict(list)

    def note(sender: str, **_: Any) -> None:
        sent[sender].append(time.time())

    signals.after_task_publish.connect(note)
    thread = threading.Thread(target=service.start)
    cpu, began = time.process_time(), time.monotonic()
    thread.start()
    thread.join(seconds)
    used = (time.process_time() - cpu) / (time.monotonic() - began)
    service.stop(wait=True)
    late = {name: [at - anchors[name] - 1 - number for number, at in enumerate(times)] for name, times in sent.items()}
    whole = sorted(each for times in late.values() for each in times)
    first, last = ([each for times in late.values() for each in times[part]] for part in (slice(60), slice(-60, None)))
    return {
        "late_p50_ms": median(whole) * 1e3,
        "late_p99_ms": whole[int(len(whole) * 0.99)] * 1e3,
        "late_max_ms": whole[-1] * 1e3,
        "drift_ms": (median(last) - median(first)) * 1e3,
        "runs": len(whole),
        "missing": OFTEN * int(seconds - 2) - len(whole) if len(whole) < OFTEN * int(seconds - 2) else 0,
        "beat_load": used,
        "beat_rss": _rss(),
    }


def _rss() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
