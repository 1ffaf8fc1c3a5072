"""`Scheduler` and `ScheduleEntry` under the names and methods that schedulers written for Celery override."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from celeriac import Celery
from celeriac.beat import BeatLazyFunc, PersistentScheduler, ScheduleEntry, Scheduler, SchedulingError, Service
from celeriac.exceptions import ImproperlyConfigured
from celeriac.schedules import crontab, schedule
from celeriac.signals import beat_init
from tests.support.beat_clock import NOON, FakeClock


class ClockApp(Celery):
    """An app whose clock is the test's."""

    clock: Any

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def app(clock: FakeClock, unique_name: str) -> Any:
    app = ClockApp("proj", broker=f"memory://{unique_name}", backend="disabled://", set_as_current=False)
    app.clock = clock
    yield app
    app.close()


class Recording(Scheduler):
    """Notes instead of publishing."""

    def setup_schedule(self) -> None:
        self.sent: list[tuple[Any, ...]] = []
        super().setup_schedule()

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        if args[0] == "bad":
            raise ValueError("no such thing")
        self.sent.append((self.clock.time(), *args, kwargs))


def run(scheduler: Scheduler, clock: FakeClock, seconds: float) -> None:
    end = clock.now + seconds
    while clock.now < end:
        clock.sleep(min(max(scheduler.tick(), 0.001), end - clock.now))


def test_entries_are_sent_when_they_are_due(app: Any, clock: FakeClock) -> None:
    app.conf.beat_schedule = {
        "a": {"task": "x", "schedule": 10, "args": (1,), "kwargs": {"k": BeatLazyFunc(lambda: 2)},
              "options": {"queue": "q", "headers": {"mine": 1}}},
        "b": {"task": "bad", "schedule": timedelta(seconds=10)},
        "c": {"task": "y", "schedule": crontab(minute=1)},
    }  # fmt: skip
    scheduler, start = Recording(app, clock=clock), clock.now
    run(scheduler, clock, 65)
    times = {name: [round(at - start) for at, task, *_ in scheduler.sent if task == name] for name in ("x", "y")}
    assert times == {"x": [10, 20, 30, 40, 50, 60], "y": [60]}
    options = {"queue": "q", "headers": {"mine": 1, "celery_beat_task": True}}
    assert scheduler.sent[0][1:] == ("x", [1], {"k": 2}, options)
    assert scheduler.schedule["a"].total_run_count == 6


def test_registered_tasks_are_called_with_their_own_options(app: Any, clock: FakeClock) -> None:
    calls = []

    mine = app.task(name="mine", shared=False)(lambda x: None)
    mine.apply_async = lambda args, kwargs, **options: calls.append((args, kwargs, options))
    entry = ScheduleEntry("e", "mine", schedule=10, args=(1,), app=app)
    Scheduler(app, clock=clock).apply_async(entry, advance=False)
    assert calls == [([1], {}, {"headers": {"celery_beat_task": True}})]


def test_what_cannot_be_sent_is_a_scheduling_error(app: Any, clock: FakeClock) -> None:
    with pytest.raises(SchedulingError, match="Couldn't apply scheduled task e: no such thing"):
        Recording(app, clock=clock).apply_async(ScheduleEntry("e", "bad", schedule=1, app=app), advance=False)


def test_entry_that_cannot_be_asked_does_not_stop_others(app: Any, clock: FakeClock, caplog: Any) -> None:
    class Broken(schedule):
        def is_due(self, last_run_at: Any) -> Any:
            raise ZeroDivisionError

    app.conf.beat_schedule = {"a": {"task": "x", "schedule": 10}, "b": {"task": "y", "schedule": Broken(1)}}
    scheduler = Recording(app, clock=clock)
    run(scheduler, clock, 25)
    assert [task for _, task, *_ in scheduler.sent] == ["x", "x"]
    assert "beat: Cannot calculate the next run of" in caplog.text


def test_longest_interval_is_kept(app: Any, clock: FakeClock) -> None:
    assert Scheduler(app, clock=clock).tick() == 300
    app.conf.beat_schedule = {"a": {"task": "x", "schedule": 100}}
    assert Scheduler(app, clock=clock, max_interval=7).tick() == 7
    app.conf.beat_max_loop_interval = 9
    assert Scheduler(app, clock=clock).tick() == 9


def test_results_that_do_not_expire_by_themselves_are_cleaned_up(tmp_path: Any) -> None:
    app = Celery("x", set_as_current=False, backend=f"db+sqlite:///{tmp_path}/r.db")
    found = Scheduler(app).schedule
    if app.backend.capabilities.expires:
        assert "celery.backend_cleanup" not in found
    else:
        assert found["celery.backend_cleanup"].schedule == crontab(0, 4)
        assert found["celery.backend_cleanup"].options == {"expires": 43200}
    assert "celery.backend_cleanup" not in Scheduler(Celery("y", set_as_current=False, backend="disabled://")).schedule
    app.close()


def test_subclass_may_keep_entries_elsewhere(app: Any, clock: FakeClock) -> None:
    """As the schedulers of Django do: entries of their own class, read anew when they have changed."""
    rows = {"a": 10.0}
    synced: list[str] = []

    class ModelEntry(ScheduleEntry):
        def __init__(self, model: str, app: Any = None, last_run_at: Any = None) -> None:
            self.model, self.app, self.name, self.task = model, app, model, f"task.{model}"
            self.schedule = schedule(rows[model], app=app)
            self.args, self.kwargs, self.options = [], {}, {}
            self.last_run_at, self.total_run_count = last_run_at or self.default_now(), 0

        def __next__(self, last_run_at: Any = None) -> ModelEntry:
            return type(self)(self.model, self.app)

        next = __next__

    class DatabaseScheduler(Recording):
        Entry = ModelEntry

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._entries: dict[str, ModelEntry] = {}
            super().__init__(*args, **kwargs)
            self.max_interval = kwargs.get("max_interval") or 5

        def setup_schedule(self) -> None:
            self.sent = []

        @property  # type: ignore[misc]
        def schedule(self) -> Any:
            for name in rows.keys() - self._entries.keys():
                self._entries[name] = ModelEntry(name, self.app)
            return self._entries

        def sync(self) -> None:
            synced.append("now")

    scheduler = DatabaseScheduler(app, clock=clock)
    run(scheduler, clock, 12)
    rows["b"] = 5.0
    run(scheduler, clock, 14)
    names = [task for _, task, *_ in scheduler.sent]
    assert (names.count("task.a"), names.count("task.b")) == (2, 2)
    assert synced


def test_merging_keeps_when_entries_ran(app: Any, clock: FakeClock) -> None:
    app.conf.beat_schedule = {"a": {"task": "x", "schedule": 10}, "gone": {"task": "y", "schedule": 10}}
    scheduler = Recording(app, clock=clock)
    run(scheduler, clock, 15)
    scheduler.merge_inplace({"a": {"task": "z", "schedule": 20}, "new": {"task": "n", "schedule": 1}})
    assert set(scheduler.schedule) == {"a", "new"}
    entry = scheduler.schedule["a"]
    assert (entry.task, entry.total_run_count, entry.schedule) == ("z", 1, schedule(20))


# ------------------------------------------------------------------------------------------------------- entries


def test_next_entry_has_run_now(app: Any, clock: FakeClock) -> None:
    entry = ScheduleEntry("e", "t", schedule=10, args=(1,), kwargs={"k": 2}, app=app, misfire="skip")
    clock.sleep(10)
    assert entry.is_due() == (True, 10.0)
    following = next(entry)
    assert (following.total_run_count, following.last_run_at, following.misfire) == (1, app.now(), "skip")
    assert following == entry
    assert following.editable_fields_equal(entry)
    assert repr(entry) == "<ScheduleEntry: e t(1, k=2) <freq: 10.00 seconds>"
    assert dict(entry)["task"] == "t"
    assert (entry < following) != (following < entry)


def test_entries_are_pickled() -> None:
    entry = ScheduleEntry("e", "t", schedule=crontab(minute=3), options={"queue": "q"})
    copy = pickle.loads(pickle.dumps(entry))
    assert copy == entry
    assert (copy.name, copy.last_run_at) == (entry.name, entry.last_run_at)


def test_wrong_entries_are_named(app: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"run_all:N"):
        ScheduleEntry("e", "t", schedule=1, misfire="twice", app=app)
    for wrong in ({"task": "t", "schedule": 1, "shedule": 2}, {"task": "t"}, 5):
        app.conf.beat_schedule = {"mine": wrong}
        with pytest.raises(ImproperlyConfigured, match="entry 'mine' of beat_schedule"):
            Scheduler(app)


def test_periodic_tasks_are_added_when_the_app_is_configured(app: Any) -> None:
    def setup(sender: Any, **kwargs: Any) -> None:
        sender.add_periodic_task(10.0, sender.signature("t", args=(1,)), name="ten", misfire="skip", expires=5)

    app.on_after_configure.connect(setup)
    entry = Scheduler(app).schedule["ten"]
    assert (entry.task, entry.args, entry.options, entry.misfire) == ("t", (1,), {"expires": 5}, "skip")


class Keeping(Recording):
    """Notes when it would write down what would be lost."""

    def setup_schedule(self) -> None:
        self.kept: list[float] = []
        super().setup_schedule()

    def tick(self) -> float:
        # The last hundredth of a second passes in ticks of no time, by this clock.
        return max(super().tick(), 0.001)

    def sync(self) -> None:
        self.kept.append(self.clock.time() - NOON)


def serve(app: Any, clock: Any, seconds: float, cls: type = Keeping) -> Any:
    """Run a service for a while; returns its scheduler."""
    service = Service(app, scheduler_cls=cls, clock=clock)

    def wait(event: Any, wanted: float) -> bool:
        clock.sleep(max(wanted, 0.001))
        if clock.now >= NOON + seconds:
            service.stop()
        return bool(event.is_set())

    clock.wait = wait
    service.start()
    return service.scheduler


def test_schedulers_keep_every_three_minutes_and_at_the_end(app: Any, clock: FakeClock) -> None:
    app.conf.beat_schedule = {"e": {"task": "t", "schedule": 10}}
    kept = serve(app, clock, 600).kept
    # When it first wakes up, after each three minutes, and when it ends.
    assert [round(at) for at in kept] == [10, 190, 370, 550, 600]


def test_setting_says_after_how_many_runs_schedulers_keep(app: Any, clock: FakeClock) -> None:
    app.conf.update(beat_schedule={"e": {"task": "t", "schedule": 10}}, beat_sync_every=2)
    kept = serve(app, clock, 100).kept
    assert [round(at) for at in kept] == [10, 20, 40, 60, 80, 100]


def test_log_says_what_celerys_says(app: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    app.conf.beat_schedule = {
        "good": {"task": "t", "schedule": 90},
        "wrong": {"task": "bad", "schedule": 90},
    }
    with caplog.at_level("DEBUG"):
        serve(app, clock, 100)
    lines = [line.partition("\n")[0] for line in caplog.messages]
    for line in (
        "beat: Starting...",
        "beat: Ticking with max interval->5.00 minutes",
        "beat: Waking up in 1.50 minutes.",
        "Scheduler: Sending due task good (t)",
        "t sent.",
        "Scheduler: Sending due task wrong (bad)",
        "Message Error: Couldn't apply scheduled task wrong: no such thing",
        "beat: Synchronizing schedule...",
        "beat: Shutting down...",
    ):
        assert line in lines, line


def test_log_of_the_standard_scheduler_names_its_entries(
    app: Any, clock: FakeClock, caplog: Any, tmp_path: Any
) -> None:
    app.conf.update(
        beat_schedule={"good": {"task": "t", "schedule": 90}}, beat_schedule_filename=str(tmp_path / "schedule")
    )
    with caplog.at_level("DEBUG"):
        serve(app, clock, 100, PersistentScheduler)
    assert "Current schedule:\n<ScheduleEntry: good t() <freq: 1.50 minutes>" in caplog.messages
    assert "Scheduler: Sending due task good (t)" in caplog.messages
    assert any(line.startswith("t sent. id->") for line in caplog.messages)


# ------------------------------------------------------------------------------------------------------- service


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        (None, PersistentScheduler),
        ("celery.beat:Scheduler", Scheduler),
        ("celeriac.beat.PersistentScheduler", PersistentScheduler),
        (Recording, Recording),
    ],
)
def test_scheduler_is_found_by_name(app: Any, name: Any, cls: type) -> None:
    assert type(Service(app, scheduler_cls=name).get_scheduler(lazy=True)) is cls


def test_unknown_scheduler_is_an_error(app: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="beat_scheduler, or -S"):
        Service(app, scheduler_cls="nowhere:Scheduler").get_scheduler()


def test_service_ticks_until_it_is_stopped_whatever_happens(app: Any, clock: FakeClock, caplog: Any) -> None:
    events = []

    class Failing(Scheduler):
        def tick(self) -> float:
            events.append("tick")
            if len(events) == 2:
                raise ZeroDivisionError
            if len(events) == 4:
                service.stop()
            return 1.0

        def close(self) -> None:
            events.append("close")

    service = app.Beat(scheduler_cls=Failing, clock=clock)

    def started(sender: Any, **kwargs: Any) -> None:
        events.append("init")

    beat_init.connect(started, sender=service)
    service.start()
    assert events == ["init", "tick", "tick", "tick", "close"]
    assert "A tick failed" in caplog.text
