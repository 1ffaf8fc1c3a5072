"""A worker that cannot work says why in one clear error and exits."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.support import PATIENCE, servers, wait_until
from tests.support.private import PrivateRedis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.worker import Workshop


def test_wrong_password_ends_the_worker_with_a_clear_error(
    tmp_path: Path, make_workshop: Callable[..., Workshop]
) -> None:
    with servers.private_redis(tmp_path) as url:
        servers.redis_command(url, "CONFIG", "SET", "requirepass", "right")
        wrong = url.replace("redis://", "redis://:secret@")
        workshop = make_workshop(broker_url=wrong, result_backend="disabled://")
        worker = workshop.start(wait=False)
        assert worker.wait() == 1
    assert "Unrecoverable error" in worker.log
    assert "WRONGPASS" in worker.log or "password" in worker.log
    assert "secret" not in worker.log
    # By those who fetch tasks, and not by those who hear commands and tell of events once more.
    assert worker.log.count("Unrecoverable error") == 1
    assert "Remote control" not in worker.log
    assert "Events" not in worker.log
    assert "Traceback" not in worker.log


def test_no_retry_on_startup_ends_the_worker_when_nobody_answers(workshop: Workshop) -> None:
    nowhere = {"broker_url": "redis://127.0.0.1:1/0", "broker_connection_retry_on_startup": False}
    worker = workshop.start(wait=False, conf=nowhere)
    assert worker.wait() == 1
    assert "127.0.0.1:1" in worker.log


def test_worker_that_waits_for_its_broker_begins_when_it_comes(
    tmp_path: Path, make_workshop: Callable[..., Workshop]
) -> None:
    server = PrivateRedis(tmp_path)
    workshop = make_workshop(broker_url=server.url, result_backend=server.url)
    worker = workshop.start(wait=False)
    wait_until(lambda: "Trying again in" in worker.log, what="the worker tries to connect")
    server.start()
    try:
        worker.wait_ready()
        assert workshop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
        assert worker.stop(signal.SIGTERM) == 0
    finally:
        server.close()


def test_unknown_broker_scheme_is_named(workshop: Workshop) -> None:
    worker = workshop.start(wait=False, conf={"broker_url": "carrier-pigeon://coop"})
    assert worker.wait() == 2
    assert "carrier-pigeon" in worker.log
    assert "Traceback" not in worker.log


def test_excluding_every_queue_is_refused(workshop: Workshop) -> None:
    worker = workshop.start(wait=False, exclude_queues=["celery"])
    assert worker.wait() == 2
    assert "there is no queue to consume" in worker.log
