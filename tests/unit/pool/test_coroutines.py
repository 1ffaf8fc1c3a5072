"""What the runner of coroutines does when its loop finds the socket and the pipe readable in one turn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from celeriac.pool.runners.coroutines import CoroutineRunner

if TYPE_CHECKING:
    from celeriac.execution.job import Job
    from celeriac.pool.runners.base import Desk
    from tests.unit.pool.conftest import Coordinator


@pytest.fixture
def runner(coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> CoroutineRunner:
    """A runner whose loop is turned by the test, and whose jobs only begin."""
    nothing = SimpleNamespace(add_reader=lambda *_: None, remove_reader=lambda *_: None)
    app = SimpleNamespace(tasks={})
    desk = SimpleNamespace(app=app, inbox=coordinator.inbox, results=lambda apart: None, executor=lambda results: None)
    made = CoroutineRunner(cast("Desk", desk), 2)
    made._loop = cast("Any", nothing)
    made.__dict__["begun"] = []

    def start(job: Job) -> None:
        made.__dict__["begun"].append(job.seq)
        made._running[job.seq] = cast("Any", (None, None))

    monkeypatch.setattr(made, "_start", start)
    # A read for which there is nothing fails; in a child it would wait, and no coroutine would go on.
    coordinator.theirs.setblocking(False)
    return made


@pytest.mark.parametrize("turn", [("_take", "_read"), ("_read", "_take")])
def test_a_job_and_its_permit_come_in_one_turn(
    runner: CoroutineRunner, coordinator: Coordinator, turn: tuple[str, str]
) -> None:
    coordinator.submit(1)
    for reader in turn:
        getattr(runner, reader)()
    assert runner.__dict__["begun"] == [1]
    assert runner._closed is None


def test_frames_are_announced_until_they_are_read(coordinator: Coordinator) -> None:
    assert not coordinator.inbox.has_frames()
    coordinator.submit(1)
    assert coordinator.inbox.has_frames()
    coordinator.inbox.receive()
    assert not coordinator.inbox.has_frames()
