"""A task that is asked to stop, stops."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from celeriac.contrib.abortable import ABORTED, AbortableAsyncResult, AbortableTask
from celeriac.contrib.testing.app import TestApp
from celeriac.contrib.testing.worker import start_worker
from tests.support import PATIENCE


@pytest.fixture
def task(app: TestApp) -> Any:
    @app.task(bind=True, base=AbortableTask)
    def wait(self: Any) -> str:
        entered.set()
        while not self.is_aborted():
            let_look.wait(0.001)
        return "stopped"

    entered, let_look = threading.Event(), threading.Event()
    wait.entered = entered
    return wait


def test_a_running_task_is_asked_to_stop(app: TestApp, task: Any) -> None:
    with start_worker(app, ping_task_timeout=PATIENCE, shutdown_timeout=PATIENCE):
        result = task.delay()
        assert isinstance(result, AbortableAsyncResult)
        assert task.entered.wait(PATIENCE)
        assert not result.is_aborted()
        result.abort()
        assert result.get(timeout=PATIENCE) == "stopped"
    assert (result.state, result.is_aborted()) == ("SUCCESS", False)
    result.abort()
    assert result.state == "SUCCESS"


def test_one_that_waits_is_asked_too(task: Any) -> None:
    result = task.apply_async(countdown=60)
    result.abort()
    assert (result.state, result.is_aborted()) == (ABORTED, True)
    assert task.AsyncResult(result.id).is_aborted()
    assert task.is_aborted(task_id=result.id)
    assert not task.is_aborted(task_id="another")


def test_a_signature_gives_such_a_result(task: Any) -> None:
    assert isinstance(task.s().apply_async(), AbortableAsyncResult)


def test_a_call_in_place_is_never_aborted(app: TestApp) -> None:
    @app.task(bind=True, base=AbortableTask)
    def look(self: Any) -> bool:
        return bool(self.is_aborted())

    assert look() is False
    assert look.apply().get() is False


def test_a_store_that_only_the_caller_reads_is_refused() -> None:
    with TestApp(backend="disabled://") as app:
        task: Any = app.task(name="task", base=AbortableTask)(lambda: None)
        with pytest.raises(NotImplementedError, match="set result_backend"):
            task.AsyncResult("x").abort()
