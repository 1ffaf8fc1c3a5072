"""Schedulers that share a store in a file, on a clock that tests move, and note what they would send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import Celery
from celeriac.beat import PersistentScheduler
from celeriac.beat.book import ScheduleBook
from celeriac.beat.store import open_store
from celeriac.broker.once import is_new
from tests.support.beat_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from celeriac.message import Once


class Sent(list[tuple[str, float, str]]):
    """What schedulers have sent: name of the task, time on the clock, id."""


class Recording(PersistentScheduler):
    """Notes instead of publishing, and fails when told to; ``once``, where given, minds what a broker would."""

    once: dict[str, Once] | None = None

    sent: Sent
    failing: dict[str, Exception]

    def send_task(self, *args: Any, **kwargs: Any) -> Any:
        if args[0] in self.failing:
            raise self.failing[args[0]]
        assert kwargs["headers"] == {"celery_beat_task": True}
        if self.once is not None:
            once = kwargs["once"]
            last = self.once.get(once.series)
            if last is not None and not is_new(once, last.token, last.place):
                return
            self.once[once.series] = once
        self.sent.append((args[0], self.clock.time(), kwargs["task_id"]))


class Site:
    """Schedulers that share one store; each lease is measured on the clock that the test moves."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "beat.sqlite3"
        self.clock = FakeClock()
        self.sent = Sent()
        self.failing: dict[str, Exception] = {}
        self.beats: list[Recording] = []
        monkeypatch.setattr("celeriac.beat.store.sqlite.SQLiteSession.now", lambda session: self.clock.monotonic())
        monkeypatch.setattr("celeriac.beat.book.time", self.clock)
        monkeypatch.setattr("celeriac.beat.store.sql.first_token", lambda: 0)

    def app(self, entries: dict[str, Any], **conf: Any) -> Celery:
        settings = {"beat_schedule": entries, "beat_schedule_filename": str(self.path), "result_expires": None}
        return Celery("proj", set_as_current=False, changes={**settings, **conf}, backend="disabled://")

    def beat(self, entries: dict[str, Any], **conf: Any) -> Recording:
        beat = Recording.__new__(Recording)
        beat.sent, beat.failing = self.sent, self.failing
        beat.__init__(self.app(entries, **conf), clock=self.clock)  # type: ignore[misc]
        self.beats.append(beat)
        return beat

    def run(self, seconds: float, *beats: Recording) -> list[float]:
        """Let beats tick for a while; returns when things were sent, in seconds from the beginning."""
        begin, before, end = self.clock.now, len(self.sent), self.clock.passed + seconds
        while self.clock.passed < end:
            waits = [beat.tick() for beat in beats]
            self.clock.sleep(min(max(min(waits), 0.001), end - self.clock.passed))
        for beat in beats:
            beat.tick()
        return [round(at - begin, 2) for _, at, _ in self.sent[before:]]

    def book(self, entries: dict[str, Any] | None = None) -> ScheduleBook:
        return ScheduleBook(self.app(entries or {}), open_store(str(self.path), "proj"))

    def close(self) -> None:
        for beat in self.beats:
            beat.store.close()
