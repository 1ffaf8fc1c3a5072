"""The schedule as a person edits it at run time: list, add, edit, reset, pause, resume, run, remove.

The scheduler that leads sees an edit within seconds. No edit makes an entry run: counting begins anew at the edit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.planning import next_run
from celeriac.beat.record import Record, describe, entry_of, fingerprint_of, moment, overridden
from celeriac.beat.scheduler import Scheduler
from celeriac.beat.store import Write
from celeriac.exceptions import CeleryError, OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from celeriac.app.base import Celery
    from celeriac.beat.store import ScheduleStore

__all__ = ["Line", "NoSuchEntry", "ScheduleBook"]

#: Attempts at an edit while the scheduler writes to the same record.
_ATTEMPTS: Final = 20


class NoSuchEntry(CeleryError):
    """There is no such entry, or it cannot be edited so."""


class Line:
    """One entry as it stands.

    Attributes:
        name: Its name.
        entry: What is called, and when.
        record: Where it stands in time; None while no scheduler has seen it.
    """

    def __init__(self, name: str, entry: Any, record: Record | None) -> None:
        self.name = name
        self.entry = entry
        self.record = record

    @property
    def is_added(self) -> bool:
        """It was added at run time."""
        return self.record is not None and self.record.definition is not None

    @property
    def override(self) -> dict[str, Any]:
        """What a person has changed of an entry of ``beat_schedule``."""
        return (self.record and self.record.override) or {}

    @property
    def is_enabled(self) -> bool:
        """It is not paused."""
        return self.record is None or self.record.enabled

    def next_runs(self, count: int, now: float | None = None) -> list[datetime]:
        """The next runs, in UTC."""
        after = time.time() if now is None else now
        if self.record is not None:
            # An interval goes on from its last run.
            after = self.entry.schedule.latest(moment(self.record.anchor), moment(after)).timestamp()
        found: list[datetime] = []
        while len(found) < count and (run := next_run(self.entry.schedule, after)) is not None:
            found.append(moment(run))
            after = run
        return found


class ScheduleBook:
    """The schedule of an app.

    Args:
        app: The application.
        store: Where its state is kept.
    """

    def __init__(self, app: Celery, store: ScheduleStore) -> None:
        self._app = app
        self._store = store
        self._configured = Scheduler(app).schedule

    def lines(self) -> dict[str, Line]:
        """All entries by name."""
        found: dict[str, Line] = {}
        stored = self._store.load()
        for name, entry in self._configured.items():
            record = Record.load(stored[name].data) if name in stored else None
            if record is not None and record.override:
                entry = overridden(entry, record.override)
            found[name] = Line(name, entry, record)
        for name, (_, data) in stored.items():
            record = Record.load(data)
            if name not in found and record.definition is not None:
                found[name] = Line(name, entry_of(name, record.definition, self._app), record)
        return dict(sorted(found.items()))

    def line(self, name: str) -> Line:
        """One entry.

        Raises:
            NoSuchEntry: There is none of this name.
        """
        lines = self.lines()
        if name not in lines:
            raise NoSuchEntry(f"there is no entry {name!r} in the schedule; there are: {', '.join(lines) or 'none'}")
        return lines[name]

    def leader(self) -> str | None:
        """The scheduler that leads, as ``host:pid:id``; None when none runs."""
        return self._store.leader()

    # -- edits ----------------------------------------------------------------------------------------------------

    def add(self, name: str, definition: dict[str, Any]) -> None:
        """Add an entry.

        Args:
            name: Its name.
            definition: ``task``, ``schedule`` as `describe` makes it, and if wanted ``args``, ``kwargs``,
                ``options`` and ``misfire``.

        Raises:
            NoSuchEntry: The name is taken.
            ImproperlyConfigured: The definition cannot be used.
        """
        entry = entry_of(name, definition, self._app)
        if name in self._configured:
            raise NoSuchEntry(f"the entry {name!r} is defined in beat_schedule: choose another name")
        record = Record(time.time(), fingerprint_of(entry.schedule), definition)
        if not self._store.write_many([Write.of(name, 0, record.dump())]):
            raise NoSuchEntry(f"there is an entry {name!r} already: use edit, or choose another name")

    def edit(self, name: str, changes: dict[str, Any]) -> None:
        """Change parts of the definition of an entry.

        What is changed of an entry of ``beat_schedule`` is kept beside it, until `reset`; the rest follows the code.

        Args:
            name: The entry.
            changes: As the ``definition`` of `add`.

        Raises:
            NoSuchEntry: There is none of this name.
            ImproperlyConfigured: The new definition cannot be used.
        """

        def change(record: Record) -> Record:
            if name in self._configured:
                return self._overridden(record, name, {**(record.override or {}), **changes})
            definition = {**(record.definition or {}), **changes}
            return _moved(record, entry_of(name, definition, self._app).schedule, definition=definition)

        self._change(name, change)

    def reset(self, name: str) -> None:
        """Return an entry of ``beat_schedule`` to what is defined there.

        Raises:
            NoSuchEntry: There is none of this name, or nothing of it was changed.
        """
        line = self.line(name)
        if line.is_added:
            raise NoSuchEntry(f"the entry {name!r} was added at run time, so there is nothing to return to: use edit")
        if not line.override:
            raise NoSuchEntry(f"the entry {name!r} is as beat_schedule defines it: nothing of it was edited")
        self._change(name, lambda record: self._overridden(record, name, {}))

    def _overridden(self, record: Record, name: str, override: dict[str, Any]) -> Record:
        return _moved(record, overridden(self._configured[name], override).schedule, override=override or None)

    def pause(self, name: str) -> None:
        """Run it no more until `resume`."""
        self._change(name, lambda record: record.changed(enabled=False))

    def resume(self, name: str) -> None:
        """Run it again; what it missed while it was paused is left out."""

        def change(record: Record) -> Record:
            if record.enabled:
                return record
            entry = self.line(name).entry
            after = entry.schedule.latest(moment(record.anchor), moment(time.time())).timestamp()
            return record.changed(enabled=True, anchor=after, claimed=None)

        self._change(name, change)

    def run(self, name: str) -> None:
        """Have it run once, now; its other runs stay as they are."""
        self._change(name, lambda record: record.changed(requested=time.time()))

    def remove(self, name: str) -> None:
        """Remove an entry that was added at run time."""
        self._change(name, lambda record: None, added_only=True)

    def _change(self, name: str, change: Callable[[Record], Record | None], added_only: bool = False) -> None:
        """Change a record that the scheduler may be writing to as well."""
        for _ in range(_ATTEMPTS):
            line = self.line(name)
            if added_only and not line.is_added:
                raise NoSuchEntry(
                    f"the entry {name!r} is defined in beat_schedule, so remove it there; it can be paused here"
                )
            revision, record = self._stored(name, line)
            changed = change(record)
            write = Write.of(name, revision, None if changed is None else changed.dump())
            if self._store.write_many([write]):
                return
        raise OperationalError(f"the entry {name!r} is written to all the time: try again")

    def _stored(self, name: str, line: Line) -> tuple[int, Record]:
        stored = self._store.load().get(name)
        if stored is not None:
            return stored.revision, Record.load(stored.data)
        return 0, Record(time.time(), fingerprint_of(line.entry.schedule))


def _moved(record: Record, new: Any, **changes: Any) -> Record:
    """A record with some changes; with another schedule, counting begins anew."""
    fingerprint = fingerprint_of(new)
    if fingerprint != record.fingerprint:
        changes.update(fingerprint=fingerprint, anchor=time.time(), claimed=None, requested=None)
    return record.changed(**changes)


def definition_of(task: str, schedule: Any, zone: str | None = None, **fields: Any) -> dict[str, Any]:
    """The definition of an entry.

    Args:
        task: Name of the task.
        schedule: One of the schedules of this package.
        zone: Name of the time zone of a crontab; None is the app's.
        **fields: ``args``, ``kwargs``, ``options``, ``misfire``; None is left out.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    return {"task": task, "schedule": describe(schedule, zone), **given}
