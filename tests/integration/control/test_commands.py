"""What a running worker says and does when it is told to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.exceptions import TaskRevokedError, TimeLimitExceeded
from tests.support import PATIENCE, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.worker import Workshop

NODE = "w0@test"


def tell(shop: Workshop, command: str, **arguments: Any) -> Any:
    """Send a command to the worker; returns its answer."""
    (reply,) = shop.app.control.broadcast(command, arguments, destination=[NODE], reply=True, timeout=PATIENCE) or []
    return reply[NODE]


def ask(shop: Workshop, question: str, *arguments: Any, **more: Any) -> Any:
    """Ask the worker a question; returns its answer."""
    return getattr(shop.app.control.inspect(NODE, timeout=PATIENCE), question)(*arguments, **more)


def busy(shop: Workshop, gate: Path, count: int = 2) -> list[Any]:
    """Tasks that run until a gate opens."""
    results = [shop.task("work").delay(gate=str(gate)) for _ in range(count)]
    wait_until(lambda: len(ask(shop, "active")) == min(count, 2), what="the tasks run")
    return results


def gate_of(shop: Workshop, request: pytest.FixtureRequest) -> Path:
    """A gate of a test's own."""
    return shop.gate(f"gate-{abs(hash(request.node.name))}")


def test_every_worker_answers_a_ping(shop: Workshop) -> None:
    assert ask(shop, "ping") == {"ok": "pong"}
    assert shop.app.control.ping(destination=[NODE], timeout=PATIENCE) == [{NODE: {"ok": "pong"}}]
    assert shop.app.control.ping(timeout=PATIENCE, limit=1) == [{NODE: {"ok": "pong"}}]
    inspect = shop.app.control.inspect(timeout=PATIENCE, limit=1, pattern="w0@*", matcher="glob")
    assert inspect.ping() == {NODE: {"ok": "pong"}}


def test_asking_all_ends_when_the_last_one_has_answered(shop: Workshop) -> None:
    """Or else it takes longer than a test may."""
    assert shop.app.control.ping(timeout=20 * PATIENCE) == [{NODE: {"ok": "pong"}}]


def test_nodes_that_are_not_meant_stay_silent(shop: Workshop) -> None:
    control = shop.app.control
    assert control.ping(destination=["nobody@nowhere"], timeout=0.2) == []
    assert control.inspect("nobody@nowhere", timeout=0.2).ping() is None
    assert control.inspect(timeout=0.2, pattern="^other", matcher="pcre").ping() is None


def test_an_unknown_command_and_wrong_arguments_are_answered_with_the_error(shop: Workshop) -> None:
    assert tell(shop, "nosuch") == {"error": "KeyError('nosuch')"}
    assert "missing 1 required positional argument" in tell(shop, "revoke")["error"]


def test_running_and_waiting_tasks_are_listed(shop: Workshop, request: pytest.FixtureRequest) -> None:
    gate = gate_of(shop, request)
    results = busy(shop, gate, 3)
    try:
        running = ask(shop, "active")
        waiting = wait_until(lambda: ask(shop, "reserved"), what="one waits")
        known = {result.id for result in results}
        assert {info["id"] for info in [*running, *waiting]} == known
        info = running[0]
        assert info["name"] == info["type"] == "work"
        assert info["args"] == []
        assert info["kwargs"] == {"gate": str(gate)}
        assert info["hostname"] == NODE
        assert info["acknowledged"] is False
        assert info["delivery_info"]["routing_key"] == shop.app.conf.task_default_queue
        assert info["worker_pid"] in shop.workers[0].children
        assert isinstance(info["time_start"], float)
        assert waiting[0]["time_start"] is None
        assert waiting[0]["worker_pid"] is None
        found = ask(shop, "query_task", running[0]["id"], waiting[0]["id"], "unknown")
        assert {task_id: state for task_id, (state, _) in found.items()} == {
            running[0]["id"]: "active",
            waiting[0]["id"]: "reserved",
        }
    finally:
        gate.touch()
    assert [result.get(timeout=PATIENCE) for result in results] == [result.id for result in results]


def test_a_task_that_waits_for_a_token_is_scheduled(shop: Workshop) -> None:
    assert tell(shop, "rate_limit", task_name="add", rate_limit="1/h") == {"ok": "new rate limit set successfully"}
    first, second = shop.task("add").delay(1, 1), shop.task("add").delay(2, 2)
    assert first.get(timeout=PATIENCE) == 2
    (scheduled,) = wait_until(lambda: ask(shop, "scheduled"), what="the second one waits")
    assert scheduled["request"]["id"] == second.id
    assert scheduled["priority"] == 6
    assert ask(shop, "query_task", second.id)[second.id][0] == "scheduled"
    assert any(line == "add [rate_limit=1/h]" for line in ask(shop, "registered"))
    assert tell(shop, "rate_limit", task_name="add", rate_limit=0) == {"ok": "rate limit disabled successfully"}
    assert second.get(timeout=PATIENCE) == 4


def test_a_rate_limit_that_makes_no_sense_is_refused(shop: Workshop) -> None:
    assert tell(shop, "rate_limit", task_name="nosuch", rate_limit="1/s") == {"error": "unknown task"}
    assert tell(shop, "rate_limit", task_name="add", rate_limit="x")["error"].startswith("Invalid rate limit string")
    assert tell(shop, "time_limit", task_name="nosuch", soft=1) == {"error": "unknown task"}


def test_time_limits_change(shop: Workshop) -> None:
    assert tell(shop, "time_limit", task_name="stubborn", hard=0.5) == {"ok": "time limits set successfully"}
    with pytest.raises(TimeLimitExceeded):
        shop.task("stubborn").delay(PATIENCE).get(timeout=PATIENCE)
    assert tell(shop, "time_limit", task_name="stubborn") == {"ok": "time limits set successfully"}


def test_a_waiting_task_is_revoked_at_once(shop: Workshop, request: pytest.FixtureRequest) -> None:
    gate = gate_of(shop, request)
    results = busy(shop, gate, 3)
    try:
        (waiting,) = wait_until(lambda: ask(shop, "reserved"), what="one waits")
        revoked = shop.app.AsyncResult(waiting["id"])
        replies = revoked.revoke(wait=True, timeout=PATIENCE)
        assert {NODE: {"ok": f"tasks {{{revoked.id!r}}} flagged as revoked"}} in replies
        with pytest.raises(TaskRevokedError, match="revoked"):
            revoked.get(timeout=PATIENCE)
        assert revoked.state == "REVOKED"
        assert revoked.id in ask(shop, "revoked")
    finally:
        gate.touch()
    for result in results:
        if result.id != revoked.id:
            assert result.get(timeout=PATIENCE) == result.id
    assert not shop.ledger.count("start", id=revoked.id)
    wait_until(lambda: shop.depth() == 0, what="its message is acknowledged")


def test_a_running_task_is_terminated(shop: Workshop, request: pytest.FixtureRequest) -> None:
    gate = gate_of(shop, request)
    ended, other = busy(shop, gate)
    try:
        assert tell(shop, "terminate", task_id=ended.id, signal="SIGKILL") == {"ok": f"terminate: {ended.id}"}
        with pytest.raises(TaskRevokedError, match="terminated"):
            ended.get(timeout=PATIENCE)
        assert ended.state == "REVOKED"
    finally:
        gate.touch()
    assert other.get(timeout=PATIENCE) == other.id
    assert tell(shop, "terminate", task_id="unknown", signal="SIGTERM") == {"ok": "terminate: tasks unknown"}
    assert "there is no signal" in tell(shop, "terminate", task_id="unknown", signal="SIGNOTHING")["error"]
    assert shop.ledger.count("end", id=ended.id) == 0


def test_tasks_are_revoked_by_their_stamps(shop: Workshop, request: pytest.FixtureRequest) -> None:
    gate = gate_of(shop, request)
    blocking = busy(shop, gate)
    value = request.node.name
    try:
        stamped = shop.task("add").apply_async((1, 2), stamped_headers=["monitor"], monitor=value)
        assert tell(shop, "revoke_by_stamped_headers", headers={"monitor": [value]}) == {
            "ok": f"headers {{'monitor': [{value!r}]}} flagged as revoked, but not terminated"
        }
        with pytest.raises(TaskRevokedError):
            stamped.get(timeout=PATIENCE)
        running = {"headers": {"monitor": "other"}, "terminate": True}
        assert tell(shop, "revoke_by_stamped_headers", **running) == {
            "ok": "headers {'monitor': 'other'} were not terminated"
        }
    finally:
        gate.touch()
    assert [result.get(timeout=PATIENCE) for result in blocking]


def test_queues_come_and_go(shop: Workshop, unique_name: str) -> None:
    default = shop.app.conf.task_default_queue
    assert [queue["name"] for queue in ask(shop, "active_queues")] == [default]
    assert tell(shop, "add_consumer", queue=unique_name) == {"ok": f"add consumer {unique_name}"}
    assert tell(shop, "add_consumer", queue=unique_name) == {"ok": f"already consuming from {unique_name!r}"}
    assert shop.task("add").apply_async((1, 2), queue=unique_name).get(timeout=PATIENCE) == 3
    queues = {queue["name"]: queue for queue in ask(shop, "active_queues")}
    assert set(queues) == {default, unique_name}
    assert queues[unique_name]["routing_key"] == queues[unique_name]["exchange"]["name"] == unique_name
    assert tell(shop, "cancel_consumer", queue=unique_name) == {"ok": f"no longer consuming from {unique_name}"}
    assert [queue["name"] for queue in ask(shop, "active_queues")] == [default]
    assert shop.task("add").delay(2, 3).get(timeout=PATIENCE) == 5


def test_a_worker_tells_about_itself(shop: Workshop) -> None:
    shop.task("noop").delay()
    stats = wait_until(lambda: (found := ask(shop, "stats"))["total"].get("noop") and found, what="the task is counted")
    assert stats["pid"] == shop.workers[0].pid
    assert sorted(stats["pool"]["processes"]) == sorted(shop.workers[0].children)
    assert stats["pool"]["max-concurrency"] == 2
    assert stats["prefetch_count"] >= 2
    assert stats["broker"]["transport"] == shop.app.conf.broker_url.partition(":")[0]
    assert stats["rusage"]["maxrss"] > 0
    assert int(stats["clock"]) > 0
    assert stats["uptime"] >= 0
    assert "noop" in ask(shop, "registered")
    assert "celeriac" in ask(shop, "report")["ok"]
    assert ask(shop, "clock")["clock"] > 0
    assert ask(shop, "conf")["task_default_queue"] == shop.app.conf.task_default_queue
    assert "worker_concurrency" in ask(shop, "conf", with_defaults=True)
    assert ask(shop, "memsample").endswith("MB")
    assert ask(shop, "memdump", 1).splitlines()[-1].startswith("- rss (end)")
    assert ask(shop, "hello", NODE) is None
    greeting = ask(shop, "hello", "other@test", revoked={"revoked-elsewhere": 1.0})
    assert set(greeting) == {"revoked", "clock"}
    assert "revoked-elsewhere" in ask(shop, "revoked")


def test_what_this_worker_cannot_do_is_refused(shop: Workshop) -> None:
    assert tell(shop, "pool_restart") == {"error": "ValueError('Pool restarts not enabled')"}
    assert tell(shop, "autoscale", max=3, min=1) == {"error": "ValueError('Autoscale not enabled')"}
    assert "objgraph" in ask(shop, "objgraph")["error"]
    with pytest.raises(NotImplementedError, match="gossip"):
        shop.app.control.election("id", "topic")
    assert "gossip" in tell(shop, "election", id="id", topic="topic")["error"]


def test_commands_of_ones_own(shop: Workshop) -> None:
    before = ask(shop, "request", "prefetch_limit")["limit"]
    assert tell(shop, "widen", n=3) == {"ok": "wider"}
    assert ask(shop, "request", "prefetch_limit")["limit"] == before + 3
    assert tell(shop, "widen", n=-3) == {"ok": "wider"}
    assert ask(shop, "request", "limit_of_prefetch") == {"limit": before, "hostname": NODE}


def test_a_worker_leaves_when_it_is_told_to(make_workshop: Any) -> None:
    shop = make_workshop()
    worker = shop.start(hostname=f"leaving-{os.getpid()}@test")
    shop.app.control.shutdown()
    assert worker.wait() == 0
    assert "Warm shutdown" in worker.log
