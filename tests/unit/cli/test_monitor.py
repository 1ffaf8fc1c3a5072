"""The monitor in the terminal, driven by keys, with events made up."""

from __future__ import annotations

import asyncio
import itertools
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import DataTable, Input, Label, Static

from celeriac.cli.monitor.screen import Details, Monitor, Question
from celeriac.cli.monitor.view import Filter, Rates, details, seconds, task_rows, worker_rows
from celeriac.events.records import Task, Worker
from celeriac.events.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from celeriac import Celery

NOW = 1_800_000_000.0
_clock = itertools.count(1)


def event(type_: str, hostname: str = "w1@h", **fields: Any) -> dict[str, Any]:
    common = {"clock": next(_clock), "timestamp": NOW, "local_received": time.time(), "freq": 3000.0, "pid": 7}
    return {**common, "hostname": hostname, **fields, "type": type_}


def happen(take: Callable[[dict[str, Any]], Any]) -> None:
    """Two workers, three tasks."""
    for name in ("w1@h", "w2@h"):
        at = time.time()
        take({**event("worker-online", name, timestamp=at), "active": 1, "processed": 9, "loadavg": [0.5, 1, 2]})
    for number, name in enumerate(("add", "mul", "div")):
        received = event("task-received", f"w{number % 2 + 1}@h", uuid=f"id{number}", timestamp=NOW + number)
        take({**received, "local_received": NOW + number, "name": name, "args": f"({number},)", "kwargs": "{}"})
    failed = event("task-failed", "w1@h", uuid="id2", timestamp=NOW + 9, exception="ZeroDivisionError()")
    take({**failed, "local_received": NOW + 9, "traceback": "Traceback [of it]"})


# -- what is shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ["id2", "id1", "id0"]),
        ("add", ["id0"]),
        ("ZERO", ["id2"]),
        ("state:failed", ["id2"]),
        ("state:waiting", ["id1", "id0"]),
        ("state:rec worker:w2", ["id1"]),
        ("name:div id2", ["id2"]),
        ("name:div add", []),
        ("other:thing", []),
    ],
)
def test_a_filter_finds(text: str, found: list[str]) -> None:
    state = State()
    happen(state.event)
    assert [row.uuid for row in task_rows(state, Filter(text))] == found


def test_rows_of_workers() -> None:
    state = State()
    happen(state.event)
    row = worker_rows(state)[0]
    assert (row.hostname, row.status, row.active, row.processed, row.load) == (
        "w1@h", "online", "1", "9", "0.50 1.00 2.00"
    )  # fmt: skip


def test_details_have_all_there_is() -> None:
    task = Task("u", name="add", runtime=0.25, args="(1,)", result="2", worker=Worker("w@h"), succeeded=NOW)
    found = dict(details(task))
    assert (found["task"], found["runtime"], found["result"], found["worker"]) == ("add", "250.0 ms", "2", "w@h")
    assert "succeeded" in found
    assert "children" not in found


def test_rates_are_of_whole_seconds() -> None:
    now = [100.0]
    rates = Rates(lambda: now[0])
    for _ in range(20):
        rates.count("x")
    assert rates.per_second("x") == 0
    now[0] = 101.5
    rates.count("x")
    assert rates.per_second("x") == 2.0
    assert rates.curve("x")[-1] == 20
    now[0] = 200.0
    assert rates.per_second("x") == 0


def test_durations_are_readable() -> None:
    assert [seconds(value) for value in (0.00123, 2.5, 125)] == ["1.2 ms", "2.50 s", "2 m 05 s"]


# -- keys


def drive(app: Celery, play: Callable[[Monitor, Pilot[None]], Awaitable[None]]) -> None:
    """Start a monitor without a broker, let things happen, and play."""

    async def run() -> None:
        monitor = Monitor(app, receive=lambda *args, **options: options["on_connected"]("memory://"))
        async with monitor.run_test(size=(120, 40)) as pilot:
            happen(monitor.take)
            monitor.look()
            await pilot.pause()
            await play(monitor, pilot)

    asyncio.run(run())


def shown(monitor: Monitor, table: str = "task-table") -> list[Any]:
    found = monitor.screen_stack[0].query_one(f"#{table}", DataTable)
    return [key.value for key in found.rows]


def test_tasks_and_workers_are_shown(app: Celery) -> None:
    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        assert shown(monitor) == ["id2", "id1", "id0"]
        assert shown(monitor, "worker-table") == ["w1@h", "w2@h"]
        status = str(monitor.query_one("#status", Static).render())
        assert "memory://" in status
        assert "3 tasks · 6 events" in status
        assert str(monitor.query_one("#rate-task-received", Label).render()).startswith("received ")
        await pilot.press("2")
        assert monitor.focused is monitor.query_one("#worker-table")
        await pilot.press("1")
        assert monitor.focused is monitor.query_one("#task-table")

    drive(app, play)


def test_details_of_the_task_under_the_cursor(app: Celery) -> None:
    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(monitor.screen, Details)
        texts = [str(each.render()) for each in monitor.screen.query(Static)]
        assert "id2" in texts
        assert "Traceback [of it]" in texts
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("j", "i")
        await pilot.pause()
        assert "id1" in [str(each.render()) for each in monitor.screen.query(Static)]

    drive(app, play)


def test_a_filter_is_typed(app: Celery) -> None:
    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"mul")
        await pilot.pause()
        assert shown(monitor) == ["id1"]
        await pilot.press("enter", "f")
        await pilot.pause()
        assert shown(monitor) == ["id2"]
        await pilot.press("a")
        await pilot.pause()
        assert shown(monitor) == ["id2", "id1", "id0"]

    drive(app, play)


def test_the_cursor_stays_on_its_task_and_pausing_holds_the_tables(app: Celery) -> None:
    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("down")
        monitor.take(event("task-received", uuid="id9", name="new", timestamp=NOW + 20, local_received=NOW + 20))
        monitor.look()
        await pilot.pause()
        assert shown(monitor)[0] == "id9"
        selected = monitor._selected()
        assert selected is not None
        assert selected.uuid == "id1"
        await pilot.press("space")
        monitor.take(event("task-received", uuid="id10", name="new", timestamp=NOW + 30, local_received=NOW + 30))
        monitor.look()
        assert shown(monitor)[0] == "id9"
        await pilot.press("space")
        await pilot.pause()
        assert shown(monitor)[0] == "id10"

    drive(app, play)


async def told(monitor: Monitor, pilot: Pilot[None]) -> list[str]:
    """Wait for the notice that follows a command."""
    while not len(monitor._notifications):
        await pilot.pause(0.01)
    return [str(notice.message) for notice in monitor._notifications]


def test_tasks_are_revoked_and_limited(app: Celery) -> None:
    calls: list[Any] = []
    control = SimpleNamespace(
        revoke=lambda uuid, **options: calls.append(("revoke", uuid, options)),
        rate_limit=lambda name, rate: calls.append(("rate_limit", name, rate)),
    )
    app.__dict__["control"] = control

    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("c")
        await pilot.pause()
        assert isinstance(monitor.screen, Question)
        await pilot.press("enter")
        assert await told(monitor, pilot) == ["revoked id2"]
        for key, answer in (("c", "terminate"), ("l", "5/m")):
            await pilot.press(key)
            await pilot.pause()
            monitor.screen.query_one(Input).value = answer
            await pilot.press("enter")
        while len(calls) < 3:
            await pilot.pause(0.01)
        await pilot.press("c", "escape")

    drive(app, play)
    assert sorted(calls, key=str) == sorted(
        [
            ("revoke", "id2", {"terminate": False}),
            ("revoke", "id2", {"terminate": True}),
            ("rate_limit", "div", "5/m"),
        ],
        key=str,
    )


def test_a_command_that_fails_is_told(app: Celery) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise ValueError("no broker [today]")

    app.__dict__["control"] = SimpleNamespace(revoke=refuse)

    async def play(monitor: Monitor, pilot: Pilot[None]) -> None:
        await pilot.press("c", "enter")
        assert await told(monitor, pilot) == ["no broker [today]"]

    drive(app, play)


def test_an_empty_monitor_takes_every_key(app: Celery) -> None:
    async def run() -> None:
        monitor = Monitor(app, receive=lambda *args, **options: options["on_lost"](ValueError("away"), 2.0))
        async with monitor.run_test() as pilot:
            await pilot.press("c", "l", "i", "k", "enter", "2")
            monitor.look()
            assert "trying again in 2 s: away" in str(monitor.query_one("#status", Static).render())
            await pilot.press("q")

    asyncio.run(run())
