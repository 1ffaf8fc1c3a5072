"""Where all entries stand: what the store keeps of them, brought up to date with ``beat_schedule``.

Nothing here knows whether something is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.inheritance import Inheritance
from celeriac.beat.record import Record, entry_of, fingerprint_of, overridden
from celeriac.beat.scheduler import logger
from celeriac.beat.store import Write
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from celeriac.app.base import Celery
    from celeriac.beat.store import ScheduleStore

__all__ = ["Standing"]

#: Seconds that clocks of two hosts may differ; an anchor further in the future is of a clock that was set back.
_SKEW: Final = 60.0


class Standing:
    """The records of a store, as a leader has read and written them.

    Args:
        app: The application.
        store: Keeps the records.
        celery_file: Where Celery's beat may have left when entries ran last.

    Attributes:
        records: Revision and record of each entry.
    """

    def __init__(self, app: Celery, store: ScheduleStore, celery_file: Path | None = None) -> None:
        self._app = app
        self._store = store
        self._celery_file = celery_file
        self._version: int | None = None
        self.records: dict[str, tuple[int, Record]] = {}
        self._configured: Mapping[str, Any] = {}
        #: Entries added at run time, and those of ``beat_schedule`` that a person has changed.
        self._edited: dict[str, Any] = {}

    def entry(self, name: str) -> Any:
        """What an entry is now; None when it is no more."""
        return self._edited.get(name) or self._configured.get(name)

    def record(self, name: str) -> Record:
        """Where an entry stands."""
        return self.records[name][1]

    def is_current(self) -> bool:
        """Nobody has edited anything since `read`."""
        return self._store.version() == self._version

    @property
    def is_forgotten(self) -> bool:
        """It is to be read before anything is sent."""
        return self._version is None

    def forget(self) -> None:
        """What was read may be out of date."""
        self._version = None

    # -- reading --------------------------------------------------------------------------------------------------

    def read(self, configured: Mapping[str, Any], now: float, token: int | None) -> None:
        """Read the store, and bring it up to date.

        Args:
            configured: The entries of ``beat_schedule``.
            now: Unix time.
            token: The leader's fencing token.
        """
        self._configured = configured
        version = self._store.version()
        is_empty = self._load(now)
        inheritance = Inheritance.of_celery(self._celery_file, self._app) if is_empty else None
        changes = {}
        for name, entry in configured.items():
            changed = self._reconciled(name, self._edited.get(name, entry), now, inheritance)
            if changed is not None:
                changes[name] = changed
        gone = [name for name in self.records if self.record(name).definition is None and name not in configured]
        self._version = version
        self.write({**changes, **dict.fromkeys(gone)}, token)
        if inheritance is not None:
            inheritance.finish()

    def _load(self, now: float) -> bool:
        """Read all records; returns whether there were none."""
        self.records, self._edited = {}, {}
        stored = self._store.load()
        for name, (revision, data) in stored.items():
            try:
                record = Record.load(data)
                self._read_edits(name, record)
            except (ValueError, TypeError, ImproperlyConfigured) as exc:
                logger.error("beat: The stored entry %r cannot be used: %s", name, exc)
                if name not in self._configured:
                    continue
                record = Record(now, "")
            self.records[name] = revision, record
        return not stored

    def _read_edits(self, name: str, record: Record) -> None:
        if name not in self._configured:
            if record.definition is not None:
                self._edited[name] = entry_of(name, record.definition, self._app)
        elif record.override is not None:
            self._edited[name] = overridden(self._configured[name], record.override)

    def _reconciled(self, name: str, entry: Any, now: float, inheritance: Inheritance | None) -> Record | None:
        """What to write about an entry of ``beat_schedule``, if anything."""
        fingerprint = fingerprint_of(entry.schedule)
        found = self.records.get(name)
        if found is None:
            inherited = inheritance and inheritance.record(name, entry, now)
            return inherited or Record(now, fingerprint)
        record = found[1]
        if record.fingerprint != fingerprint or record.definition is not None:
            # Another schedule, or another zone: what the old one missed is of no interest.
            return record.changed(fingerprint=fingerprint, anchor=now, claimed=None, definition=None)
        return record.changed(anchor=now) if record.anchor > now + _SKEW else None

    # -- writing --------------------------------------------------------------------------------------------------

    def write(self, records: Mapping[str, Record | None], token: int | None) -> set[str]:
        """Write records; what somebody else has changed meanwhile is left, and read before the next tick.

        Args:
            records: By name; None removes one.
            token: The leader's fencing token.

        Returns:
            Names of those that were written.
        """
        if not records:
            return set()
        writes = [
            Write.of(
                name, self.records[name][0] if name in self.records else 0, None if record is None else record.dump()
            )
            for name, record in records.items()
        ]
        written = self._store.write_many(writes, token)
        for name, _, revision, _ in writes:
            if name in written:
                record = records[name]
                if record is None:
                    del self.records[name]
                else:
                    self.records[name] = revision, record
        if len(written) < len(writes):
            self.forget()
        return written

    def confirm(self, sent: dict[str, Record], token: int | None) -> None:
        """Note what was sent, even if a person has edited the entry meanwhile."""
        left = sent.keys() - self.write(sent, token)
        if not left:
            return
        stored = self._store.load()
        for name in left & stored.keys():
            revision, data = stored[name]
            record, mine = Record.load(data), sent[name]
            if record.claimed is not None:
                self.records[name] = revision, record
                ran = {"count": mine.count, "last_run_at": mine.last_run_at, "claimed": None}
                self.write({name: record.changed(anchor=max(record.anchor, mine.anchor), **ran)}, token)

    def count_from(self, now: float, token: int | None) -> None:
        """After the clock was set back: what has run in its future does not keep entries waiting until then."""
        ahead = {name: record for name, (_, record) in self.records.items() if record.anchor > now}
        self.write({name: record.changed(anchor=now) for name, record in ahead.items()}, token)
