"""What is asked of a worker that is at work: other code, its stacks, a debugger, a stubborn task's end."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from celeriac.broker import Queue
from celeriac.exceptions import TaskRevokedError
from tests.integration.worker.test_resizing import tell
from tests.support import PATIENCE, servers, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.worker import Workshop


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_restarted_pool_runs_code_that_was_changed(workshop: Workshop, tmp_path: Path, method: str) -> None:
    code = "from celeriac import shared_task\n@shared_task(name='{0}')\ndef answer():\n    return {1}\n"
    (tmp_path / "changing_code.py").write_text(code.format("changing.answer", 1))
    (tmp_path / "added_code.py").write_text(code.format("added.answer", 3))
    conf = {"worker_pool_restarts": True, "worker_pool_start_method": method}
    worker = workshop.start(conf=conf, include=["changing_code"], env={"PYTHONPATH": str(tmp_path)})
    app, before = workshop.app, set(worker.children)
    assert app.send_task("changing.answer").get(timeout=PATIENCE) == 1
    (tmp_path / "changing_code.py").write_text(code.format("changing.answer", 22222))
    assert tell(workshop, "pool_restart", modules=["added_code"], reload=False) == {"ok": "reload started"}
    wait_until(lambda: len(worker.children) == 2 and not before & set(worker.children), what="others run tasks")
    assert app.send_task("added.answer").get(timeout=PATIENCE) == 3
    if method == "fork":
        assert app.send_task("changing.answer").get(timeout=PATIENCE) == 1
    before = set(worker.children)
    assert tell(workshop, "pool_restart", reload=True) == {"ok": "reload started"}
    wait_until(lambda: len(worker.children) == 2 and not before & set(worker.children), what="others run tasks")
    assert app.send_task("changing.answer").get(timeout=PATIENCE) == 22222
    assert "ModuleNotFoundError" in tell(workshop, "pool_restart", modules=["no_such_code"])["error"]
    assert "functions do not travel" in tell(workshop, "pool_restart", reloader="x")["error"]


def test_sigusr1_prints_stacks_and_sigusr2_opens_a_debugger(workshop: Workshop) -> None:
    port = servers.free_port()
    worker = workshop.start(env={"CELERY_RDBSIG": "1", "CELERY_RDB_PORT": str(port)})
    worker.send(signal.SIGUSR1)
    wait_until(lambda: "most recent call first" in worker.log, what="the stacks")
    worker.send(signal.SIGUSR2)
    wait_until(lambda: "Waiting for client..." in worker.log, what="the debugger")
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"p 6 * 7\nc\n")
        said = b"".join(iter(lambda: client.recv(4096), b""))
    assert b"42" in said
    assert workshop.task("add").delay(1, 2).get(timeout=PATIENCE) == 3
    assert worker.stop() == 0


def test_stats_tell_the_limits_in_force(workshop: Workshop) -> None:
    workshop.start(max_tasks_per_child=7, time_limit=90.0, soft_time_limit=80.0, conf={"task_time_limit": 30.0})
    pool = tell(workshop, "stats")["pool"]
    assert (pool["max-tasks-per-child"], pool["timeouts"]) == (7, [80.0, 90.0])


def test_a_message_that_comes_again_after_success_is_not_run(workshop: Workshop) -> None:
    """Though nothing in a result store tells."""
    worker = workshop.start(
        conf={"worker_deduplicate_successful_tasks": True}, env={"CELERY_WORKER_SUCCESSFUL_MAX": "9"}
    )
    side, work = Queue("side"), workshop.task("work")
    work.apply_async(task_id="once", ignore_result=True)
    wait_until(lambda: workshop.ledger.count("end") == 1, what="it ran")
    work.apply_async(task_id="once", ignore_result=True, queue="side")
    session = workshop.app.broker_for_read.connect()
    session.consume([side])
    (delivery,) = session.fetch(limit=1, wait=PATIENCE)
    session.requeue_many([delivery])
    session.close()
    tell(workshop, "add_consumer", queue="side")
    wait_until(lambda: "Task work[once] already completed successfully." in worker.log, what="it is known")
    assert workshop.ledger.count("start") == 1


def test_a_number_of_successes_that_is_none_ends_the_worker(workshop: Workshop) -> None:
    conf, env = {"worker_deduplicate_successful_tasks": True}, {"CELERY_WORKER_SUCCESSFUL_EXPIRES": "long"}
    worker = workshop.start(wait=False, conf=conf, env=env)
    assert worker.wait() != 0
    assert "CELERY_WORKER_SUCCESSFUL_EXPIRES is 'long' in the environment" in worker.log


def test_crash_points_are_those_of_spawned_children_too(workshop: Workshop, tmp_path: Path) -> None:
    env = {"CELERIAC_CRASH_AT": "started:1", "CELERIAC_CRASH_COUNT": str(tmp_path / "passes")}
    worker = workshop.start(conf={"worker_pool_start_method": "spawn"}, env=env, concurrency=1)
    assert workshop.task("add").delay(1, 2).get(timeout=PATIENCE) == 3
    assert "signal 9 (SIGKILL)" in worker.log


@pytest.mark.parametrize("pool", ["asyncio", "gevent"])
def test_a_task_that_will_not_end_is_told_of_and_killed_with_its_process(workshop: Workshop, pool: str) -> None:
    worker = workshop.start(pool=pool, concurrency=2)
    task = workshop.task("unending")
    result = task.delay()
    wait_until(lambda: workshop.ledger.count("start") == 1, what="it runs")
    before = worker.children
    workshop.app.control.revoke(result.id, terminate=True, signal="SIGTERM")
    wait_until(lambda: "has not ended 1 s after it was told to (SIGTERM)" in worker.log, what="it is said")
    workshop.app.control.revoke(result.id, terminate=True, signal="SIGKILL")
    wait_until(lambda: worker.children and not set(before) & set(worker.children), what="the process is replaced")
    with pytest.raises(TaskRevokedError):
        result.get(timeout=PATIENCE)
