"""The HTTP port of a worker: live, ready, and how tasks ended; with a broker that goes and comes back."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import PATIENCE, wait_until
from tests.support.http import get, get_json
from tests.support.private import PrivateRedis
from tests.support.servers import free_port
from tests.support.worker import Workshop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateRedis]:
    server = PrivateRedis(tmp_path)
    server.start()
    yield server
    server.close()


@pytest.fixture
def workshop(server: PrivateRedis, tmp_path: Path) -> Iterator[Workshop]:
    settings = {"broker_url": server.url, "result_backend": server.url, "broker_lease": 3.0}
    workshop = Workshop(settings, tmp_path, {})
    yield workshop
    workshop.close()


def test_worker_is_live_ready_and_counted(workshop: Workshop, server: PrivateRedis) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    worker = workshop.start(conf={"worker_http_address": url.removeprefix("http://")})
    wait_until(lambda: get_json(f"{url}/readyz") == (200, {"ready": True, "hostname": "w0@test"}), what="it is ready")
    assert get_json(f"{url}/livez") == (200, {"live": True})

    results = [workshop.task(name).delay() for name in ("work", "work", "fail")]
    results.append(workshop.app.send_task("nobody"))
    for result in results:
        result.get(timeout=PATIENCE, propagate=False)
    queue = workshop.app.conf.task_default_queue
    counted = [
        f'celeriac_task_outcomes_total{{outcome="succeeded",queue="{queue}",task="work"}} 2.0',
        f'celeriac_task_outcomes_total{{outcome="failed",queue="{queue}",task="fail"}} 1.0',
        f'celeriac_task_outcomes_total{{outcome="unknown",queue="{queue}",task=""}} 1.0',
        f'celeriac_task_duration_seconds_count{{outcome="succeeded",queue="{queue}",task="work"}} 2.0',
        "celeriac_broker_up 1.0",
        "celeriac_worker_slots 2.0",
        f'celeriac_queue_ready{{queue="{queue}"}} 0.0',
        f'celeriac_queue_delayed{{queue="{queue}"}} 1.0',
        "celeriac_queue_dead 1.0",
    ]
    workshop.task("work").apply_async(countdown=3600)
    wait_until(lambda: not set(counted) - set(get(f"{url}/metrics")[1].splitlines()), what="all are counted")
    openmetrics = get(f"{url}/metrics", Accept="application/openmetrics-text; version=1.0.0")[1]
    assert openmetrics.endswith("# EOF\n")

    server.kill()
    wait_until(lambda: get_json(f"{url}/readyz")[0] == 503, what="the loss is noticed")
    assert get_json(f"{url}/readyz")[1]["reason"].startswith("the broker is away: ")
    assert get_json(f"{url}/livez") == (200, {"live": True})
    assert "celeriac_broker_up 0.0" in get(f"{url}/metrics")[1]
    server.start()
    wait_until(lambda: get_json(f"{url}/readyz")[0] == 200, what="it is ready again")
    assert "celeriac_broker_losses_total 1.0" in get(f"{url}/metrics")[1]
    worker.process.send_signal(signal.SIGTERM)
    assert worker.wait() == 0
