"""What settings change about tasks whose process, connection or worker is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from celeriac import states
from celeriac.exceptions import WorkerLostError
from tests.integration.worker.conftest import SHORT_LEASE
from tests.support import PATIENCE, wait_until
from tests.support.chaosproxy import ChaosProxy
from tests.support.private import PrivateRedis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.worker import Workshop


def test_a_task_whose_process_dies_is_retried_as_often_as_its_retries_allow(shop: Workshop) -> None:
    worker = shop.start(task_events=True)
    die = shop.task("die_retry")
    survivor, victim = die.delay("SIGKILL", 1), die.delay("SIGKILL")
    assert survivor.get(timeout=PATIENCE) == "survived"
    with pytest.raises(WorkerLostError, match="SIGKILL"):
        victim.get(timeout=PATIENCE)
    assert shop.ledger.count("start", id=survivor.id) == 2
    # The first run and two retries: its message was not requeued, which would be five deliveries.
    assert shop.ledger.count("start", id=victim.id) == 3
    assert not shop.dead_letters()
    assert worker.log.count(f"Task die_retry[{victim.id}] retry: Retry in 0s: WorkerLostError") == 2


def test_a_task_acknowledged_early_is_retried_too(shop: Workshop) -> None:
    shop.start(conf={"task_retry_on_worker_lost": True, "task_acks_late": False})
    result = shop.task("retried_early").delay("_exit", 1)
    assert result.get(timeout=PATIENCE) == "survived"
    assert shop.ledger.count("start", id=result.id) == 2


@pytest.mark.parametrize("deduplicate", [True, False])
def test_a_task_that_has_succeeded_is_skipped_when_it_is_delivered_again(
    shop: Workshop, tmp_path: Path, deduplicate: bool
) -> None:
    shop.conf |= {
        "broker_lease": SHORT_LEASE, "broker_sweep_interval": 0.5, "worker_deduplicate_successful_tasks": deduplicate,
    }  # fmt: skip
    result = shop.task("work").delay()
    # The worker dies before it can acknowledge what its child has stored.
    env = {"CELERIAC_CRASH_AT": "reported:1", "CELERIAC_CRASH_COUNT": str(tmp_path / "passes")}
    shop.start(env=env, wait=False).wait()
    assert result.state == states.SUCCESS
    worker = shop.start()
    skipped = f"Task work[{result.id}] already completed successfully."
    wait_until(lambda: skipped in worker.log or shop.ledger.count("end") == 2, what="the message came again")
    assert (skipped in worker.log, shop.ledger.count("start")) == ((True, 1) if deduplicate else (False, 2))
    assert worker.stop() == 0
    assert shop.depth() == 0


def test_running_tasks_are_ended_when_rabbitmq_gives_their_messages_to_others(
    amqp_url: str, redis_url: str, make_workshop: Callable[..., Workshop]
) -> None:
    address = urlsplit(amqp_url)
    proxy = ChaosProxy(address.hostname or "", address.port or 5672)
    try:
        through = amqp_url.replace(f":{address.port}", f":{proxy.port}")
        workshop = make_workshop(broker_url=amqp_url, result_backend=redis_url)
        setting = {"worker_cancel_long_running_tasks_on_connection_loss": True}
        worker = workshop.start(conf=setting | {"broker_url": through})
        gate = workshop.gate()
        result = workshop.task("work").delay(gate=str(gate))
        wait_until(lambda: workshop.ledger.count("start") == 1, what="the task runs")
        proxy.cut()
        wait_until(lambda: workshop.ledger.count("start") == 2, what="the task runs anew")
        gate.touch()
        assert result.get(timeout=PATIENCE) == result.id
        assert f"Terminating work[{result.id}]: the connection it came by is lost" in worker.log
        assert "raised unexpected" not in worker.log
        assert worker.stop() == 0
        assert workshop.ledger.count("end") == 1
        assert workshop.depth() == 0
    finally:
        proxy.close()


def test_running_tasks_go_on_while_redis_keeps_their_lease(
    tmp_path: Path, redis_url: str, make_workshop: Callable[..., Workshop]
) -> None:
    server = PrivateRedis(tmp_path)
    server.start()
    try:
        workshop = make_workshop(broker_url=server.url, result_backend=redis_url)
        worker = workshop.start(conf={"worker_cancel_long_running_tasks_on_connection_loss": True})
        gate = workshop.gate()
        result = workshop.task("work").delay(gate=str(gate))
        wait_until(lambda: workshop.ledger.count("start") == 1, what="the task runs")
        server.kill()
        wait_until(lambda: "Connection to broker lost" in worker.log, what="the loss is noticed")
        server.start()
        wait_until(lambda: worker.log.count("Connected to") == 2, what="the worker is back")
        gate.touch()
        assert result.get(timeout=PATIENCE) == result.id
        assert worker.stop() == 0
        assert workshop.ledger.count("start") == 1
    finally:
        server.close()
