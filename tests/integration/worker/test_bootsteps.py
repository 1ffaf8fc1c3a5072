"""Steps of users run in a worker: in order, beside its tasks, with messages of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from celeriac.message import Destination, Message, Publication
from tests.support import PATIENCE, wait_until
from tests.support.private import PrivateRedis
from tests.support.steps import PARCELS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.worker import Workshop


def send_parcel(workshop: Workshop, body: Any) -> None:
    message = Message(json.dumps(body).encode(), "application/json", "utf-8", {}, {})
    session = workshop.app.broker.connect()
    try:
        session.publish_many([Publication(message, Destination(PARCELS.name, PARCELS.routing_key, PARCELS))])
    finally:
        session.close()


def test_steps_are_created_started_and_stopped_around_the_tasks(shop: Workshop) -> None:
    shop.worker_conf = {"steps": True}
    worker = shop.start(concurrency=1, user={"canary": "yellow"})
    ledger = shop.ledger
    [made] = ledger.records("step init")
    assert (made["canary"], made["concurrency"], made["pid"]) == ("yellow", 1, worker.pid)
    assert ledger.count("step create", hostname="w0@test") == 1
    assert ledger.count("step start", thread="bootsteps") == 1
    assert ledger.count("step grown", size=2) == 1
    assert ledger.records("helper")[0]["controller"] == "w0@test"
    wait_until(lambda: ledger.count("timer"), what="the timer's call")
    send_parcel(shop, {"to": "Ann"})
    wait_until(lambda: ledger.count("parcel", body={"to": "Ann"}, redelivered=False), what="the parcel came")
    # From the queue that a step added.
    more = f"{shop.conf['task_default_queue']}-more"
    assert shop.task("add").apply_async((1, 2), queue=more).get(timeout=PATIENCE) == 3
    stats = shop.app.control.inspect(["w0@test"], timeout=PATIENCE).stats()
    assert stats["w0@test"]["watch"] == "on"

    gate = shop.gate()
    shop.task("work").delay(gate=str(gate))
    wait_until(lambda: ledger.count("start"), what="the task runs")
    worker.send(signal.SIGTERM)
    # What requires the pool is stopped before its tasks are waited for, and what does not is stopped behind it.
    wait_until(lambda: ledger.count("step stop", ended=0), what="the step is stopped")
    assert not ledger.count("after stop")
    gate.touch()
    assert worker.wait() == 0
    assert ledger.count("after stop", ended=1) == 1
    whats = [record["what"] for record in ledger.records()]
    assert whats.index("consumer stop") < whats.index("step close") < whats.index("step stop")


def test_a_callback_that_blocks_or_fails_keeps_no_task_waiting(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "parcel-gate"
    shop.worker_conf = {"steps": True}
    worker = shop.start(concurrency=1, env={"GATE": str(gate)})
    send_parcel(shop, "raise")
    wait_until(lambda: shop.dead_letters(), what="the broken parcel is set aside")
    assert shop.dead_letters()[0].reason == "a callback raised RuntimeError: a broken parcel"
    send_parcel(shop, "sleep")
    wait_until(lambda: shop.ledger.count("parcel", body="sleep"), what="the callback blocks")
    assert shop.task("add").delay(1, 1).get(timeout=PATIENCE) == 2
    gate.touch()
    send_parcel(shop, "leave")
    assert worker.wait() == 3


def test_steps_of_the_consumer_are_started_anew_when_the_broker_comes_back(
    tmp_path: Path, make_workshop: Callable[..., Workshop]
) -> None:
    server = PrivateRedis(tmp_path)
    server.start()
    try:
        shop = make_workshop(broker_url=server.url, result_backend="disabled://", steps=True)
        worker = shop.start()
        server.kill()
        wait_until(lambda: shop.ledger.count("consumer stop"), what="the loss is noticed")
        server.start()
        wait_until(lambda: shop.ledger.count("consumer start") == 2, what="the step is started again")
        send_parcel(shop, "again")
        wait_until(lambda: shop.ledger.count("parcel", body="again"), what="the parcel came")
        assert worker.stop() == 0
    finally:
        server.close()


def test_an_agent_lives_as_long_as_the_connection(workshop: Workshop) -> None:
    ledger = workshop.ledger
    env = {"AGENT": str(ledger.path)}
    worker = workshop.start(conf={"worker_agent": "tests.support.steps:Agent"}, env=env)
    assert ledger.count("agent start", connected=True, pid=worker.pid) == 1
    url = workshop.conf["broker_url"]
    command = [sys.executable, "-m", "celeriac", "-b", url, "--result-backend", url, "graph", "workers"]
    drawn = subprocess.run(
        [*command, "-t", str(PATIENCE)], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert f'"w0@test" -> "{url}";' in drawn.stdout
    assert '"w0@test: task 2" -> "w0@test";' in drawn.stdout
    assert worker.stop() == 0
    assert ledger.count("agent stop") == 1


def test_a_step_that_cannot_start_ends_the_worker(workshop: Workshop) -> None:
    worker = workshop.start(wait=False, conf={"steps": "broken"})
    assert worker.wait() == 1
    assert "Unrecoverable error: RuntimeError('no cellar')" in worker.log
