"""A worker in threads of the test: quick, complete, gone afterwards, and honest about what goes wrong."""

# The reason for which a worker must fail, then the worker: two statements read better than one.
# ruff: noqa: SIM117

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery, chord, current, group, shared_task, signals
from celeriac.contrib.testing.app import DEFAULT_TEST_CONFIG, TestApp, Trap, setup_default_app
from celeriac.contrib.testing.worker import (
    start_worker,
    test_worker_started,
    test_worker_starting,
    test_worker_stopped,
)
from celeriac.exceptions import ImproperlyConfigured
from tests.support import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG: dict[str, Any] = {"ping_task_timeout": PATIENCE, "shutdown_timeout": PATIENCE}


@pytest.fixture
def shared() -> Any:
    @shared_task(name="tests.shared")
    def increase(value: int) -> int:
        return value + 1

    return increase


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before


@pytest.mark.parametrize("pool", ["solo", "threads"])
@pytest.mark.usefixtures("no_threads_left")
def test_tasks_and_workflows_run(app: TestApp, pool: str, shared: Any) -> None:
    @app.task
    def total(values: list[int]) -> int:
        return sum(values)

    with start_worker(app, pool=pool, concurrency=2, **LONG) as worker:
        assert worker.app is app
        assert shared.delay(1).get(timeout=PATIENCE) == 2
        assert chord(shared.s(n) for n in range(3))(total.s()).get(timeout=PATIENCE) == 6
        assert group(shared.s(1), shared.s(2))().get(timeout=PATIENCE) == [2, 3]


@pytest.mark.usefixtures("no_threads_left")
def test_coroutines_run(app: TestApp) -> None:
    @app.task
    async def answer() -> int:
        return 42

    with start_worker(app, **LONG):
        result: Any = answer.delay()
        assert result.get(timeout=PATIENCE) == 42


def test_a_worker_can_be_started_again_and_again(app: TestApp, shared: Any) -> None:
    for number in range(3):
        with start_worker(app, **LONG):
            assert shared.delay(number).get(timeout=PATIENCE) == number + 1


def test_what_runs_is_finished(app: TestApp) -> None:
    entered, let_go = threading.Event(), threading.Event()

    @app.task
    def slow() -> str:
        entered.set()
        let_go.wait(PATIENCE)
        return "done"

    with start_worker(app, **LONG):
        result = slow.delay()
        assert entered.wait(PATIENCE)
        threading.Timer(0.05, let_go.set).start()
    assert result.get(timeout=PATIENCE) == "done"


def test_a_task_that_does_not_end_is_told_of(app: TestApp) -> None:
    entered, let_go = threading.Event(), threading.Event()

    @app.task
    def slow() -> None:
        entered.set()
        let_go.wait(PATIENCE)

    with pytest.raises(RuntimeError, match=r"still runs a task 0.01 seconds .* a larger shutdown_timeout"):
        with start_worker(app, ping_task_timeout=PATIENCE, shutdown_timeout=0.01) as worker:
            slow.delay()
            assert entered.wait(PATIENCE)
    let_go.set()
    worker.join(PATIENCE)


@pytest.mark.usefixtures("no_threads_left")
def test_a_broker_that_is_not_there_is_told_of() -> None:
    app = TestApp(broker="redis://127.0.0.1:1/0", backend="cache+memory://")
    with setup_default_app(app), pytest.raises(RuntimeError, match=r"did not start: .*127\.0\.0\.1:1"):
        with start_worker(app, **LONG):
            pytest.fail("it started")
    app.close()


@pytest.mark.usefixtures("no_threads_left")
def test_settings_that_cannot_be_used_are_told_of(app: TestApp) -> None:
    app.conf.imports = ["no_such_module_anywhere"]
    with pytest.raises(RuntimeError, match="did not start: Importing task modules failed"):
        with start_worker(app, **LONG):
            pytest.fail("it started")


def test_other_processes_are_refused_where_they_would_keep_the_results(app: TestApp) -> None:
    with pytest.raises(ImproperlyConfigured, match="use pool='solo' or 'threads', or set result_backend"):
        with start_worker(app, pool="prefork"):
            pytest.fail("it started")


def test_an_app_without_results_does_without_the_check() -> None:
    app = TestApp(backend="disabled://")
    ran = threading.Event()

    @app.task
    def note() -> None:
        ran.set()

    with setup_default_app(app):
        with pytest.raises(RuntimeError, match="perform_ping_check=False"), start_worker(app, **LONG):
            pytest.fail("it started")
        with start_worker(app, perform_ping_check=False, **LONG):
            note.delay()
            assert ran.wait(PATIENCE)
    app.close()


def test_signals_tell_of_it(app: TestApp) -> None:
    heard: list[tuple[str | None, Any]] = []
    receivers = []
    for signal in (test_worker_starting, test_worker_started, test_worker_stopped, signals.worker_ready):

        def receive(sender: Any, name: str | None = signal.name, **fields: Any) -> None:
            heard.append((name, fields.get("worker")))

        receivers.append(receive)
        signal.connect(receive, weak=True)
    with start_worker(app, **LONG) as worker:
        pass
    assert heard == [
        ("test_worker_starting", None),
        ("worker_ready", None),
        ("test_worker_started", worker),
        ("test_worker_stopped", worker),
    ]


def test_logging_is_left_alone(app: TestApp) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with start_worker(app, **LONG):
        assert (root.handlers, root.level) == before


def test_logging_is_configured_where_asked_for_and_as_before_afterwards(
    app: TestApp, tmp_path: Path, shared: Any
) -> None:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with start_worker(app, loglevel="INFO", logfile=str(tmp_path / "log"), **LONG):
        shared.delay(1).get(timeout=PATIENCE)
    assert "ready." in (tmp_path / "log").read_text()
    assert (root.handlers, root.level) == before


def test_apps_share_no_messages_and_no_results() -> None:
    one, other = TestApp(), TestApp()
    assert one.conf.broker_url != other.conf.broker_url
    result = one.send_task("x")
    with one.connection_for_read() as a, other.connection_for_read() as b:
        assert a.session.depths(["celery"]) == {"celery": 1}
        assert b.session.depths(["celery"]) == {"celery": 0}
    assert result.state == "PENDING"
    one.close()
    other.close()


def test_settings_are_those_for_tests_unless_given() -> None:
    app = TestApp("named", config={"timezone": "Europe/Oslo"}, broker="memory://mine", task_default_queue="q")
    assert app.main == "named"
    assert (app.conf.broker_url, app.conf.task_default_queue, app.conf.timezone) == (
        "memory://mine", "q", "Europe/Oslo",
    )  # fmt: skip
    assert app.conf.worker_hijack_root_logger is DEFAULT_TEST_CONFIG["worker_hijack_root_logger"]
    assert current.current_apps()[0] is not app
    app.close()


def test_the_default_app_is_back_afterwards(app: TestApp) -> None:
    inner = TestApp()
    with setup_default_app(inner):
        assert current.get_current_app() is inner
    assert current.get_current_app() is app
    inner.close()


def test_a_trap_catches_who_depends_on_the_current_app(app: TestApp, shared: Any) -> None:
    with setup_default_app(app, use_trap=True):
        with pytest.raises(RuntimeError, match="depends on the current app"):
            shared.delay(1)
    assert not isinstance(current.get_current_app(), Trap)
    assert isinstance(current.get_current_app(), Celery)
