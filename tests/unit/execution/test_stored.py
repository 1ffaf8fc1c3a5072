"""Which states of a task are stored, by its settings, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import Celery
from celeriac.execution.chords import record_parts
from celeriac.execution.execute import Executor
from celeriac.execution.job import Job
from celeriac.execution.results import ResultBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def app(unique_name: str) -> Iterator[Celery]:
    with Celery("proj", broker=f"memory://{unique_name}", backend=f"memory://{unique_name}") as app:
        yield app


@pytest.fixture
def states(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """State and result of each record that is stored."""
    seen: list[tuple[str, Any]] = []
    store_many = app.backend.store_many

    def note(records: Any) -> None:
        seen.extend((record.status, record.result) for record in records)
        store_many(records)

    monkeypatch.setattr(app.backend, "store_many", note)
    return seen


@pytest.fixture
def work(app: Celery) -> Callable[[], None]:
    """Runs what waits in the default queue."""

    def run() -> None:
        session: Any = app.broker.connect()
        session.consume([app.queues.get_or_create("celery")])
        results = ResultBuffer(lambda outcomes: None, join=record_parts)
        executor = Executor(app, "w@h", results)
        for delivery in session.fetch(limit=100, wait=0):
            message = delivery.message
            job = Job(
                1, message.headers, message.properties, message.body, message.content_type, message.content_encoding,
                {"routing_key": "celery"}, None, None, False,
            )  # fmt: skip
            results.finish(executor.execute(job), more=False)
        session.close()

    return run


@pytest.mark.parametrize("by_task", [False, True])
def test_start_is_stored_when_it_is_tracked(
    app: Celery, states: list[Any], work: Callable[[], None], by_task: bool
) -> None:
    app.conf.task_track_started = not by_task
    app.task(name="t", shared=False, **{"track_started": True} if by_task else {})(lambda: 1).delay()
    work()
    (started, about), ended = states
    assert (started, sorted(about), ended) == ("STARTED", ["hostname", "pid"], ("SUCCESS", 1))


@pytest.mark.parametrize("by_task", [False, True])
def test_errors_of_an_ignored_task_are_stored_when_that_is_wanted(
    app: Celery, states: list[Any], work: Callable[[], None], by_task: bool
) -> None:
    app.conf.task_store_errors_even_if_ignored = not by_task
    options = {"store_errors_even_if_ignored": True} if by_task else {}

    @app.task(name="t", ignore_result=True, shared=False, **options)
    def divide(x: int, y: int) -> float:
        return x / y

    assert divide.delay(1, 1).get() is None
    divide.delay(1, 0)
    work()
    assert [(state, type(result)) for state, result in states] == [("FAILURE", ZeroDivisionError)]


def test_nothing_of_an_ignored_task_is_stored(app: Celery, states: list[Any], work: Callable[[], None]) -> None:
    app.task(name="t", ignore_result=True, shared=False)(lambda: 1 / 0).delay()
    app.task(name="u", shared=False)(lambda: 1).apply_async(ignore_result=True)
    work()
    assert states == []


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("eager", [False, True])
def test_states_of_a_running_task_have_the_fields_of_extended_results(
    app: Celery, work: Callable[[], None], extended: bool, eager: bool
) -> None:
    app.conf.update(result_extended=extended, task_store_eager_result=True)

    @app.task(name="t", bind=True, shared=False)
    def told(self: Any, x: int, y: int) -> dict[str, Any]:
        self.update_state(state="PROGRESS", meta={"done": 1})
        half = app.backend.get_task_meta(self.request.id)
        return {key: half.get(key) for key in ("status", "result", "name", "args", "kwargs", "retries")}

    if eager:
        result: Any = app.AsyncResult(told.apply((1,), {"y": 2}).id)
    else:
        result = told.apply_async((1,), {"y": 2})
        work()
    known: dict[str, Any] = {"name": "t", "args": [1], "kwargs": {"y": 2}, "retries": 0}
    wanted = known if extended else dict.fromkeys(known)
    assert result.get(timeout=1) == {"status": "PROGRESS", "result": {"done": 1}, **wanted}
    assert {key: getattr(result, key) for key in known} == wanted
    assert result.queue == ("celery" if extended and not eager else None)


@pytest.mark.parametrize("stored", [False, True])
def test_eager_results_are_stored_when_that_is_wanted(app: Celery, states: list[Any], stored: bool) -> None:
    app.conf.task_store_eager_result = stored
    app.task(name="t", shared=False)(lambda: 1).apply()
    app.task(name="u", shared=False)(lambda: 1 / 0).apply()
    assert [state for state, _ in states] == (["SUCCESS", "FAILURE"] if stored else [])
