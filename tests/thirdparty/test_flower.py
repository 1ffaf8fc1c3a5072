"""Flower, unmodified: every page and every call of its API, on workers of Celeriac."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import wait_until
from tests.support.servers import free_port, unique
from tests.thirdparty.programs import ALONE, BESIDE, CELERY, running
from tests.thirdparty.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.worker import RunningWorker


class Flower(Site):
    """A running Flower, and the worker that it is asked about.

    Args:
        port: Its port.
        program: Its process.
        node: Name of the worker.
        queue: The worker's queue.
    """

    def __init__(self, port: int, program: RunningWorker, node: str, queue: str) -> None:
        super().__init__(port)
        self.program = program
        self.node = node
        self.queue = queue

    def done(self, task_id: str, state: str = "SUCCESS") -> dict[str, Any]:
        """What Flower knows of a task once it is in a state."""
        found: dict[str, Any] = self.wait(f"/api/task/info/{task_id}", lambda task: task["state"] == state)
        return found

    def send(self, task: str, *args: Any, **options: Any) -> str:
        """Have Flower call a task; returns its id."""
        return str(self.post(f"/api/task/async-apply/shop.{task}", {"args": args, **options}).fields["task-id"])

    def refreshed(self) -> dict[str, Any]:
        """What the worker answers to Flower now."""
        answer = self.wait("/api/workers", lambda found: self.node in found, refresh=1, workername=self.node)
        found: dict[str, Any] = answer[self.node]
        return found


@pytest.fixture(scope="module")
def fleet(redis: str) -> dict[str, str]:
    """What the project is told."""
    return {"SHOP_BROKER": redis, "SHOP_RESULTS": redis, "SHOP_QUEUE": unique("flower")}


@pytest.fixture(scope="module")
def node(fleet: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a worker of Celeriac."""
    name = f"{unique('w')}@flower"
    words = ("celery", "-A", "shop", "worker", "-l", "INFO", "-c", "2", "-n", name, "-E")
    log = tmp_path_factory.mktemp("worker") / "log"
    with running(ALONE, *words, log=log, ready=" ready.", env=fleet) as worker:
        yield name
        assert worker.alive, worker.log[-4000:]


@pytest.fixture(scope="module", params=(CELERY, ALONE, pytest.param(BESIDE, marks=pytest.mark.thirdparty)))
def flower(
    request: pytest.FixtureRequest, fleet: dict[str, str], node: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Flower]:
    """Flower under Celery, and through the door."""
    port, directory = free_port(), tmp_path_factory.mktemp("flower")
    words = ("celery", "-A", "shop", "flower", f"--port={port}", "--address=127.0.0.1")
    env = {**fleet, "FLOWER_UNAUTHENTICATED_API": "true"}
    with running(request.param, *words, log=directory / "log", ready="Registered tasks", env=env) as program:
        flower = Flower(port, program, node, fleet["SHOP_QUEUE"])
        # It asks workers for events, and sees them by those.
        flower.wait("/api/workers", lambda found: found.get(node), status=1)
        flower.refreshed()
        yield flower
        assert "Traceback" not in program.log, program.log


@pytest.fixture(scope="module")
def task_id(flower: Flower) -> str:
    """A task that has run."""
    task_id = flower.send("add", 2, 3)
    flower.done(task_id)
    return task_id


# ------------------------------------------------------------------------------------------------------ pages


def test_the_list_of_workers(flower: Flower, task_id: str) -> None:
    assert flower.node in flower.get("/").text
    assert flower.get("/workers").status == 200
    (row,) = [row for row in flower.get("/workers", json=1).fields["data"] if row["hostname"] == flower.node]
    assert row["status"] is True
    assert row["task-succeeded"] >= 1
    assert len(row["loadavg"]) == 3
    assert (row["sw_ident"], row["pid"] > 0) == ("celeriac", True)


def test_the_page_of_a_worker(flower: Flower, task_id: str) -> None:
    flower.refreshed()
    page = flower.get(f"/worker/{flower.node}")
    assert page.status == 200
    for text in (flower.node, flower.queue, "shop.add", "shop.wait_for", "Max concurrency", "task_default_queue"):
        assert text.lower() in page.text.lower(), text
    assert flower.get("/worker/nobody@nowhere").status == 404


def test_the_list_of_tasks(flower: Flower, task_id: str) -> None:
    assert flower.get("/tasks").status == 200
    table = flower.get(
        "/tasks/datatable", draw=1, start=0, length=100, **{"order[0][column]": 0, "columns[0][data]": "name"}
    ).fields
    assert table["recordsTotal"] >= 1
    (row,) = [row for row in table["data"] if row["uuid"] == task_id]
    assert (row["name"], row["state"], row["worker"], row["result"]) == ("shop.add", "SUCCESS", flower.node, "5")


def test_the_page_of_a_task(flower: Flower, task_id: str) -> None:
    page = flower.get(f"/task/{task_id}")
    assert page.status == 200
    for text in (task_id, "shop.add", "SUCCESS", flower.node):
        assert text in page.text, text
    assert flower.get("/task/unknown").status == 404


def test_the_page_of_the_broker(flower: Flower) -> None:
    page = flower.get("/broker")
    assert page.status == 200
    assert flower.queue in page.text
    assert "Unable to get queues" not in flower.program.log


def test_metrics(flower: Flower, task_id: str) -> None:
    def value(name: str, **labels: str) -> float:
        wanted = [f'{label}="{text}"' for label, text in labels.items()]
        lines = [line for line in flower.get("/metrics").text.splitlines() if line.startswith(f"{name}{{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(text in line for text in wanted))

    assert value("flower_events_total", worker=flower.node, type="task-succeeded", task="shop.add") >= 1
    assert value("flower_events_total", worker=flower.node, type="task-received", task="shop.add") >= 1
    assert value("flower_events_total", worker=flower.node, type="task-started", task="shop.add") >= 1
    assert value("flower_task_runtime_seconds_count", worker=flower.node, task="shop.add") >= 1
    assert value("flower_worker_online", worker=flower.node) == 1
    wait_until(
        lambda: "flower_worker_number_of_currently_executing_tasks{" in flower.get("/metrics").text, what="a heartbeat"
    )


def test_health_static_files_and_what_is_not_there(flower: Flower) -> None:
    assert flower.get("/healthcheck") == (200, "OK")
    assert flower.get("/static/css/flower.css").status == 200
    assert flower.get("/nowhere").status == 404
    assert flower.get("/logout").status in (200, 302)


# ---------------------------------------------------------------------------------------------- API: what is there


def test_api_workers(flower: Flower, task_id: str) -> None:
    info = flower.refreshed()
    assert flower.get("/api/workers", status=1).fields[flower.node] is True
    assert [queue["name"] for queue in info["active_queues"]] == [flower.queue]
    assert {"shop.add", "shop.fail", "shop.again", "shop.wait_for"} <= {name.split()[0] for name in info["registered"]}
    assert info["conf"]["task_default_queue"] == flower.queue
    assert (info["active"], info["reserved"], info["scheduled"]) == ([], [], [])
    assert isinstance(info["revoked"], list)
    stats = info["stats"]
    assert stats["total"]["shop.add"] >= 1
    assert stats["pool"]["max-concurrency"] == 2
    assert len(stats["pool"]["processes"]) == 2
    assert stats["broker"]["transport"] == "redis"
    assert stats["rusage"]["maxrss"] > 0
    assert flower.get("/api/workers", workername="nobody@nowhere").status == 404


def test_api_tasks(flower: Flower, task_id: str) -> None:
    failed = flower.send("fail", "no stock")
    retried = flower.send("again")
    assert flower.done(failed, "FAILURE")["exception"] == "ValueError('no stock')"
    info = flower.done(retried)
    assert (info["retries"], info["result"]) == (1, "1")
    assert info["retried"] is not None
    listed = flower.get("/api/tasks", workername=flower.node, limit=100).fields
    assert listed[task_id]["state"] == "SUCCESS"
    assert "test_flower" not in (listed[failed]["traceback"] or "")
    assert listed[failed]["traceback"].startswith("Traceback")
    assert failed in flower.get("/api/tasks", state="FAILURE").fields
    assert set(flower.get("/api/tasks", taskname="shop.again").fields) >= {retried}
    assert task_id not in flower.get("/api/tasks", state="FAILURE").fields
    assert next(iter(flower.get("/api/tasks", sort_by="-received", limit=1).fields)) == retried


def test_api_task_types_and_info(flower: Flower, task_id: str) -> None:
    assert "shop.add" in flower.get("/api/task/types").fields["task-types"]
    info = flower.get(f"/api/task/info/{task_id}").fields
    assert info["args"] in ("(2, 3)", "[2, 3]")
    assert info["kwargs"] == "{}"
    assert info["worker"] == flower.node
    assert info["runtime"] >= 0
    assert info["succeeded"] >= info["started"] >= info["received"] > 0
    assert info["root_id"] == task_id
    assert flower.get("/api/task/info/unknown").status == 404


def test_api_queue_lengths(flower: Flower) -> None:
    name = unique("nobody")
    lengths = flower.get("/api/queues/length").fields["active_queues"]
    assert {"name": flower.queue, "messages": 0} in lengths
    flower.post(f"/api/worker/queue/add-consumer/{flower.node}", queue=name)
    flower.post(f"/api/worker/queue/cancel-consumer/{flower.node}", queue=name)
    flower.refreshed()
    assert name not in {each["name"] for each in flower.get("/api/queues/length").fields["active_queues"]}


# ------------------------------------------------------------------------------------------------- API: calling


def test_api_apply(flower: Flower) -> None:
    answer = flower.post("/api/task/apply/shop.add", {"args": [20, 22]}).fields
    assert (answer["state"], answer["result"]) == ("SUCCESS", 42)
    failed = flower.post("/api/task/apply/shop.fail", {"kwargs": {"text": "no"}}).fields
    assert failed["state"] == "FAILURE"
    assert "ValueError" in failed["result"]
    assert flower.post("/api/task/apply/shop.nothing", {}).status == 404


def test_api_async_apply_with_options(flower: Flower) -> None:
    answer = flower.post("/api/task/async-apply/shop.add", {"args": [1], "kwargs": {"y": 1}, "countdown": 0.1}).fields
    assert answer["state"] in ("PENDING", "STARTED", "SUCCESS")
    assert flower.done(answer["task-id"])["result"] == "2"
    late = flower.post("/api/task/async-apply/shop.add", {"args": [1, 1], "countdown": 3600}).fields["task-id"]
    assert flower.post(f"/api/task/revoke/{late}").fields == {"message": f"Revoked '{late}'"}
    assert flower.post("/api/task/async-apply/shop.nothing", {}).status == 404
    assert flower.post("/api/task/async-apply/shop.add", {"args": 1}).status == 400


def test_api_send_task(flower: Flower) -> None:
    answer = flower.post("/api/task/send-task/shop.add", {"args": ["a", "b"], "queue": flower.queue}).fields
    assert flower.done(answer["task-id"])["result"] == "'ab'"


def test_api_result(flower: Flower, task_id: str) -> None:
    answer = flower.get(f"/api/task/result/{task_id}").fields
    assert answer == {"task-id": task_id, "state": "SUCCESS", "result": 5}
    assert flower.get(f"/api/task/result/{unique()}").fields["state"] == "PENDING"
    failed = flower.send("fail", "no")
    answer = flower.get(f"/api/task/result/{failed}", timeout=30).fields
    assert "ValueError" in answer["result"]


def test_api_abort(flower: Flower, tmp_path: Path) -> None:
    task_id = flower.send("wait_for", str(tmp_path / "never"))
    flower.done(task_id, "STARTED")
    assert flower.post(f"/api/task/abort/{task_id}").fields == {"message": f"Aborted '{task_id}'"}
    assert flower.done(task_id)["result"] == "'aborted'"


# ------------------------------------------------------------------------------------------------- API: control


def test_api_revoke_and_terminate(flower: Flower, tmp_path: Path) -> None:
    task_id = flower.send("wait_for", str(tmp_path / "never"))
    flower.done(task_id, "STARTED")
    assert [task["id"] for task in flower.refreshed()["active"]] == [task_id]
    assert task_id in flower.get(f"/worker/{flower.node}").text
    flower.post(f"/api/task/revoke/{task_id}", terminate="true", signal="SIGKILL")
    flower.done(task_id, "REVOKED")
    assert task_id in flower.refreshed()["revoked"]


def test_api_timeouts_and_rate_limits(flower: Flower) -> None:
    answer = flower.post("/api/task/timeout/shop.add", workername=flower.node, soft=50, hard=60)
    assert answer.fields["message"], answer
    assert flower.post("/api/task/timeout/shop.nothing", workername=flower.node, soft=1).status == 404
    answer = flower.post("/api/task/rate-limit/shop.add", workername=flower.node, ratelimit="1000/s")
    assert answer.fields["message"], answer
    assert any("shop.add" in name and "rate_limit=1000/s" in name for name in flower.refreshed()["registered"])
    flower.post("/api/task/rate-limit/shop.add", workername=flower.node, ratelimit="0")
    answer = flower.post("/api/task/rate-limit/shop.add", workername=flower.node, ratelimit="nonsense")
    assert answer.status == 403
    assert "Invalid rate limit" in answer.text


def test_api_pool_grows_shrinks_and_restarts(flower: Flower) -> None:
    def processes() -> int:
        return len(flower.refreshed()["stats"]["pool"]["processes"])

    assert "Growing" in flower.post(f"/api/worker/pool/grow/{flower.node}", n=2).fields["message"]
    wait_until(lambda: processes() == 4, what="two more processes")
    assert "Shrinking" in flower.post(f"/api/worker/pool/shrink/{flower.node}", n=2).fields["message"]
    wait_until(lambda: processes() == 2, what="two processes fewer")
    before = flower.refreshed()["stats"]["pool"]["processes"]
    assert "Restarting" in flower.post(f"/api/worker/pool/restart/{flower.node}").fields["message"]
    wait_until(lambda: not set(before) & set(flower.refreshed()["stats"]["pool"]["processes"]), what="new processes")
    assert flower.done(flower.send("add", 1, 1))["result"] == "2"


def test_api_queues_are_added_and_cancelled(flower: Flower) -> None:
    def queues() -> set[str]:
        return {queue["name"] for queue in flower.refreshed()["active_queues"]}

    name = unique("more")
    answer = flower.post(f"/api/worker/queue/add-consumer/{flower.node}", queue=name)
    assert re.search(rf"add consumer {name}", answer.fields["message"])
    assert queues() == {flower.queue, name}
    sent = flower.post("/api/task/send-task/shop.add", {"args": [1, 1], "queue": name}).fields["task-id"]
    flower.done(sent)
    answer = flower.post(f"/api/worker/queue/cancel-consumer/{flower.node}", queue=name)
    assert f"no longer consuming from {name}" in answer.fields["message"]
    assert queues() == {flower.queue}


def test_api_autoscale_and_shutdown(
    flower: Flower, fleet: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    other = Flower(flower.port, flower.program, f"{unique('other')}@flower", flower.queue)
    words = ("celery", "-A", "shop", "worker", "-l", "INFO", "--autoscale=2,1", "-n", other.node, "-Q", unique("other"))
    with ExitStack() as stack:
        worker = stack.enter_context(running(ALONE, *words, log=tmp_path / "log", ready=" ready.", env=fleet))
        assert other.refreshed()["stats"]["autoscaler"]["max"] == 2
        answer = other.post(f"/api/worker/pool/autoscale/{other.node}", min=1, max=4)
        assert "Autoscaling" in answer.fields["message"]
        assert other.refreshed()["stats"]["autoscaler"]["max"] == 4
        refused = flower.post(f"/api/worker/pool/autoscale/{flower.node}", min=1, max=4)
        assert (refused.status, "Autoscale not enabled" in refused.text) == (403, True)
        assert other.post(f"/api/worker/shutdown/{other.node}").fields == {"message": "Shutting down!"}
        assert worker.wait() == 0
    assert flower.post("/api/worker/shutdown/nobody@nowhere").status == 404
