"""What a cluster looks like after some events."""

from __future__ import annotations

import itertools
import pickle
import time
from typing import Any

import pytest

from celeriac.events.records import HEARTBEAT_MAX, Task, Worker, heartbeat_expires
from celeriac.events.state import State

NOW = time.time()
_clock = itertools.count(1)


def event(type_: str, hostname: str = "w1@h", **fields: Any) -> dict[str, Any]:
    """An event as a receiver hands it over."""
    defaults = {"clock": next(_clock), "pid": 1, "utcoffset": 0.0, "timestamp": NOW, "local_received": NOW}
    return {**defaults, "hostname": hostname, **fields, "type": type_}


def received(state: State, uuid: str, name: str = "add", **fields: Any) -> Task:
    task: Task = state.event(event("task-received", uuid=uuid, name=name, args="()", kwargs="{}", **fields))[0][0]
    return task


def test_a_worker_comes_beats_and_leaves() -> None:
    came: list[Worker] = []
    left: list[Worker] = []
    state = State(on_node_join=came.append, on_node_leave=left.append)
    (worker, created), subject = state.event(event("worker-online", freq=3000, active=1, sw_ident="x"))
    assert (created, subject, worker.alive, worker.status_string) == (True, "online", True, "ONLINE")
    assert (worker.freq, worker.active, worker.sw_ident, worker.id) == (3000, 1, "x", "w1@h.1")
    (again, created), _ = state.event(event("worker-heartbeat", active=2))
    assert (again, created, worker.active) == (worker, False, 2)
    assert list(state.alive_workers()) == [worker]
    state.event(event("worker-offline"))
    assert (state.workers, came, left, worker.alive) == ({}, [worker], [worker], False)


def test_a_worker_is_alive_for_twice_the_time_between_heartbeats() -> None:
    assert heartbeat_expires(100.0, 10) == 120.0
    assert heartbeat_expires(100.0, None) == 220.0
    assert Worker("w", freq=10, heartbeats=[time.time() - 15]).alive
    assert not Worker("w", freq=10, heartbeats=[time.time() - 25]).alive
    assert not Worker("w").alive


def test_a_worker_keeps_its_last_heartbeats_in_order() -> None:
    worker = Worker("w")
    for at in (5, 3, 1, 2, 4, 6):
        worker.event("heartbeat", NOW + at, NOW + at)
    assert worker.heartbeats == [NOW + at for at in (3, 4, 5, 6)]
    assert len(worker.heartbeats) == HEARTBEAT_MAX


def test_a_clock_that_is_off_is_warned_of_once(unique_name: str) -> None:
    worker = Worker(unique_name)
    with pytest.warns(RuntimeWarning, match=f"clock of {unique_name}"):
        worker.event("heartbeat", NOW, NOW + 20)
    worker.event("heartbeat", NOW, NOW + 20)


def test_a_task_goes_through_its_states() -> None:
    state = State()
    sent = event("task-sent", "gen@h", uuid="u", name="add", args="(1,)", kwargs="{}", queue="q", root_id="u")
    (task, created), subject = state.event(sent)
    assert (task.state, task.client, task.worker, task.origin, created, subject) == (
        "PENDING", "gen@h", None, "gen@h", True, "sent"
    )  # fmt: skip
    for type_, expected in (("received", "RECEIVED"), ("started", "STARTED"), ("succeeded", "SUCCESS")):
        state.event(event(f"task-{type_}", uuid="u", result="1", timestamp=NOW + 1))
        assert (task.state, getattr(task, type_), task.timestamp) == (expected, NOW + 1, NOW + 1)
    assert (task.ready, task.result, task.name, task.worker.hostname) == (True, "1", "add", "w1@h")
    assert (state.event_count, state.task_count, state.task_types()) == (4, 1, ["add"])


@pytest.mark.parametrize(
    ("type_", "state"),
    [
        ("failed", "FAILURE"),
        ("revoked", "REVOKED"),
        ("rejected", "REJECTED"),
        ("retried", "RETRY"),
        ("progress", "PROGRESS"),
    ],
)
def test_every_type_has_its_state(type_: str, state: str) -> None:
    task = Task("u")
    task.event(type_, NOW, NOW, {"exception": "x"})
    assert (task.state, task.exception) == (state, "x")


def test_events_that_come_late_do_not_turn_a_task_back() -> None:
    state = State()
    state.event(event("task-succeeded", uuid="u", result="1"))
    state.event(event("task-started", uuid="u", result="never"))
    task = received(state, "u", retries=2)
    assert (task.state, task.result, task.name, task.args, task.retries) == ("SUCCESS", "1", "add", "()", 2)
    assert task.started == task.received == NOW


def test_a_retried_task_begins_anew() -> None:
    state = State()
    task = received(state, "u")
    for type_ in ("started", "retried", "received", "started"):
        state.event(event(f"task-{type_}", uuid="u"))
    assert task.state == "STARTED"


def test_tasks_know_each_other() -> None:
    state = State()
    root = received(state, "r")
    child = received(state, "c", parent_id="r", root_id="r")
    assert (child.parent, child.root, list(root.children), root.parent) == (root, root, [child], None)
    found = child.as_dict()
    assert (found["parent"], found["root"], found["worker"].hostname, found["children"]) == ("r", "r", "w1@h", [])
    assert root.as_dict()["children"] == ["c"]


def test_info_has_what_has_a_value() -> None:
    task = Task("u", name="add", args="(1,)", runtime=0.5)
    assert task.info() == {"args": "(1,)", "runtime": 0.5}
    assert task.info(["args"], ["name"]) == {"args": "(1,)", "name": "add"}


def test_tasks_are_found_in_the_order_of_their_clocks() -> None:
    state = State()
    for uuid, name, hostname, clock in (("1", "add", "a@h", 30), ("2", "mul", "b@h", 10), ("3", "add", "b@h", 20)):
        received(state, uuid, name, hostname=hostname, clock=clock)
    assert [uuid for uuid, _ in state.tasks_by_time()] == ["1", "3", "2"]
    assert [uuid for uuid, _ in state.tasks_by_timestamp(reverse=False)] == ["2", "3", "1"]
    assert [uuid for uuid, _ in state.tasks_by_time(limit=1)] == ["1"]
    assert [uuid for uuid, _ in state.tasks_by_type("add")] == ["1", "3"]
    assert [uuid for uuid, _ in state.tasks_by_worker("b@h", limit=1)] == ["3"]
    assert {task.uuid for task in state.tasks_by_type["add"]} == {"1", "3"}
    assert {task.uuid for task in state.tasks_by_worker["b@h"]} == {"2", "3"}
    assert dict(state.itertasks(2)).keys() == {"1", "2"}
    assert state.task_types() == ["add", "mul"]


def test_only_the_tasks_and_workers_used_last_are_kept() -> None:
    state = State(max_tasks_in_memory=3, max_workers_in_memory=2)
    for number in range(5):
        received(state, str(number), f"task{number}", hostname=f"w{number % 3}@h")
        received(state, "always")
    assert list(state.tasks) == ["3", "4", "always"]
    assert len(state.workers) == 2
    assert [uuid for uuid, _ in state.tasks_by_time(reverse=False)] == ["3", "4", "always"]
    assert state.task_types() == ["add", "task3", "task4"]


def test_clearing_keeps_what_has_not_ended() -> None:
    state = State()
    received(state, "runs")
    received(state, "ended", "mul")
    state.event(event("task-succeeded", uuid="ended"))
    state.clear()
    assert (list(state.tasks), state.workers, state.event_count, state.task_count) == (["runs"], {}, 0, 0)
    assert state.task_types() == ["add"]
    state.clear(ready=False)
    assert (state.tasks, list(state.tasks_by_time())) == ({}, [])


def test_freezing_calls_a_function_and_may_clear() -> None:
    state = State()
    received(state, "u")
    assert state.freeze_while(lambda x, y: (x, y, len(state.tasks)), 1, y=2) == (1, 2, 1)
    assert state.freeze_while(lambda: state.event_count, clear_after=True) == 1
    assert state.event_count == 0


def test_callback_and_handlers_see_events() -> None:
    seen: list[Any] = []
    state = State(callback=lambda state, event: seen.append((state.event_count, event["type"])))
    state.handlers["custom"] = lambda subject, event: f"handled {subject}"
    assert state.event(event("custom-thing")) == "handled thing"
    assert state.event(event("other-thing")) == (None, "thing")
    assert seen == [(1, "custom-thing"), (2, "other-thing")]


def test_the_older_entries_work() -> None:
    state = State()
    worker, created = state.worker_event("online", event("", clock=1))
    assert (worker.hostname, created) == ("w1@h", True)
    task, created = state.task_event("received", event("", uuid="u", name="add"))
    assert (task.uuid, task.state, created) == ("u", "RECEIVED", True)


def test_a_state_can_be_pickled() -> None:
    state = State(max_tasks_in_memory=10)
    received(state, "u")
    state.event(event("worker-online"))
    copy = pickle.loads(pickle.dumps(state))
    assert (copy.tasks["u"].name, list(copy.workers), copy.event_count) == ("add", ["w1@h"], 2)
    assert [uuid for uuid, _ in copy.tasks_by_type("add")] == ["u"]
    received(copy, "v")
    assert copy.tasks["v"].cluster_state is copy
