"""`PersistentScheduler`: any number of them share a store; one leads, and each run is claimed before it is sent.

A run goes through three steps: claimed in the store under the leader's token, published under an id made of entry,
number and time, and confirmed in the store.  Whoever leads next sends again, under the same id, what was claimed and
not confirmed; most brokers take it only if they have not taken it before.
"""

from __future__ import annotations

import heapq
import os
import uuid
from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.planning import next_run, plan
from celeriac.beat.record import Record, entry_of, fingerprint_of, moment, overridden
from celeriac.beat.runs import once_of, task_id_of
from celeriac.beat.scheduler import Scheduler, SchedulingError, logger
from celeriac.beat.store import LeadershipLost, Write, open_store
from celeriac.exceptions import ImproperlyConfigured, OperationalError, Superseded
from celeriac.utils.nodenames import gethostname

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.beat.store import ScheduleStore

__all__ = ["PersistentScheduler", "store_of"]

#: Longest sleep of a leader in seconds: edits are to take effect within five.
POLL_INTERVAL: Final = 2.0
#: Runs between a claim and its confirmation: what a leader that dies may send a second time.
_BATCH: Final = 20
#: Share of the lease that is asked of the store; in the rest, others notice that it ran out.
_TTL: Final = 0.85
#: Seconds to wait after the broker or the store could not be reached, and at most for one entry.
_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 5.0
#: Failures in a row after which the broker, rather than an entry, is at fault.
_FAILURES: Final = 2
#: Seconds by which the wall clock and the other one may drift apart between two ticks.
_STEP: Final = 2.0
#: Seconds that clocks of two hosts may differ; an anchor further in the future is of a clock that was set back.
_SKEW: Final = 60.0


def store_of(app: Celery, filename: str | None = None, timeout: float = 4.0) -> ScheduleStore:
    """The schedule store of an app.

    Args:
        app: The application.
        filename: Path or URL; None is ``beat_store_url``, or else ``beat_schedule_filename``.
        timeout: Seconds for an operation.
    """
    conf = app.conf
    return open_store(filename or conf.beat_store_url or conf.beat_schedule_filename, app.name, timeout)


class PersistentScheduler(Scheduler):
    """Keeps in a store when entries ran last, and shares it with other schedulers.

    Args:
        schedule_filename: Path of an SQLite file, or URL of a store; None is the setting.
        store: The store itself, instead.
        **kwargs: As for `Scheduler`.
    """

    def __init__(
        self, app: Celery, *args: Any, schedule_filename: str | None = None, store: Any = None, **kwargs: Any
    ) -> None:
        self.lease = float(app.conf.beat_lease)
        # A leader that hangs on its store or its broker must notice before its lease runs out.
        self._timeout = min(4.0, self.lease / 4)
        self.store: ScheduleStore = store or store_of(app, schedule_filename, self._timeout)
        self.holder = f"{gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
        #: Fencing token while it leads.
        self.token: int | None = None
        #: Unix time of the last look at all entries, by the leader.
        self.last_tick_at: float | None = None
        self._lease_until = self._renew_at = 0.0
        self._version: int | None = None
        self._records: dict[str, tuple[int, Record]] = {}
        #: Entries added at run time, and those of ``beat_schedule`` that a person has changed.
        self._edited: dict[str, Any] = {}
        self._due: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []
        self._offset: float | None = None
        self._seen: float | None = None
        #: Monotonic time before which nothing is published, how often in a row it failed, and how often for an entry.
        self._publish_at = 0.0
        self._failed_in_row = 0
        self._failed: dict[str, int] = {}
        self._unreachable: str | None = None
        super().__init__(app, *args, **kwargs)

    @property
    def info(self) -> str:
        """A line of the banner."""
        return f"    . db -> {self.store.url}"

    # -- ticking --------------------------------------------------------------------------------------------------

    def tick(self) -> float:
        """Lead if nobody else does, and send what is due.

        Returns:
            Seconds until the next tick.
        """
        try:
            if not self._lead():
                return self.lease / 15
            if self.store.version() != self._version:
                self._read()
            wait = self._send_due()
        except LeadershipLost as exc:
            logger.warning("beat: %s", exc)
            self._stop_leading()
            return _RETRY
        except OperationalError as exc:
            self._note_unreachable(exc)
            return _RETRY
        if self._unreachable is not None:
            logger.info("beat: The schedule store %s is reachable again", self.store.url)
            self._unreachable = None
        return wait

    def _note_unreachable(self, exc: Exception) -> None:
        text = f"The schedule store {self.store.url} cannot be used, trying again every {_RETRY:g} s: {exc}"
        if self._unreachable is None:
            logger.error("beat: %s", text)
        self._unreachable = text
        self._seen = None
        if self.token is not None and self.clock.monotonic() >= self._lease_until:
            self._stop_leading()

    def _lead(self) -> bool:
        """Take or renew the leadership."""
        now = self.clock.monotonic()
        if self.token is not None and now < self._renew_at:
            return True
        ttl = self.lease * _TTL
        token = self.store.acquire(self.holder, ttl)
        if token is None:
            if self.token is not None:
                logger.warning("beat: Another scheduler leads now; this one stands by")
            self._stop_leading()
            return False
        # Counted from before the request, so that it ends here before it ends there.
        self._lease_until, self._renew_at = now + ttl, now + ttl / 3
        if token != self.token:
            self.token = token
            logger.info("beat: Leading the schedule in %s (token %d)", self.store.url, token)
            self._seen = None
            self._read()
        return True

    def _stop_leading(self) -> None:
        self.token = self._seen = self._version = None
        self._renew_at = 0.0

    # -- reading --------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """Read the store, and bring it up to date with ``beat_schedule``."""
        self._version = self.store.version()
        self._load()
        now, changes = self.clock.time(), []
        for name, entry in self.schedule.items():
            changes += self._reconciled(name, self._edited.get(name, entry), now)
        for name, (revision, record) in self._records.items():
            if record.definition is None and name not in self.schedule:
                changes.append(Write.of(name, revision, None))
        if changes:
            self.store.write_many(changes, self.token)
            self._load()
        self._due.clear()
        self._queue.clear()
        for name in self._records:
            self._enqueue(name)

    def _load(self) -> None:
        self._records, self._edited = {}, {}
        for name, (revision, data) in self.store.load().items():
            try:
                record = Record.load(data)
                if record.definition is not None and name not in self.schedule:
                    self._edited[name] = entry_of(name, record.definition, self.app)
                elif record.override is not None and name in self.schedule:
                    self._edited[name] = overridden(self.schedule[name], record.override)
            except (ValueError, TypeError, ImproperlyConfigured) as exc:
                logger.error("beat: The stored entry %r cannot be used: %s", name, exc)
                self._edited.pop(name, None)
                if name in self.schedule:
                    record = Record(self.clock.time(), "")
                else:
                    continue
            self._records[name] = revision, record

    def _reconciled(self, name: str, entry: Any, now: float) -> list[Write]:
        """What to write about an entry of ``beat_schedule``, if anything."""
        fingerprint = fingerprint_of(entry.schedule)
        revision, record = self._records.get(name, (0, None))
        if record is None:
            return [Write.of(name, 0, Record(now, fingerprint).dump())]
        changes: dict[str, Any] = {}
        if record.fingerprint != fingerprint or record.definition is not None:
            # Another schedule, or another zone: what the old one missed is of no interest.
            changes = {"fingerprint": fingerprint, "anchor": now, "claimed": None, "definition": None}
        elif record.anchor > now + _SKEW:
            changes = {"anchor": now}
        return [Write.of(name, revision, record.changed(**changes).dump())] if changes else []

    def _entry(self, name: str) -> Any:
        return self._edited.get(name) or self.schedule.get(name)

    def _enqueue(self, name: str, at: float | None = None) -> None:
        """Put an entry where it is looked at next."""
        entry, (_, record) = self._entry(name), self._records[name]
        self._due.pop(name, None)
        if entry is None:
            return
        if at is None:
            at = self._next_look(entry, record)
        if at is not None:
            self._due[name] = at
            heapq.heappush(self._queue, (at, name))

    def _next_look(self, entry: Any, record: Record) -> float | None:
        if record.requested is not None or (record.claimed is not None and record.enabled):
            return self.clock.time()
        if not record.enabled:
            return None
        try:
            return next_run(entry.schedule, record.anchor)
        except Exception as exc:
            logger.exception("beat: Cannot calculate the next run of %r: %r", entry, exc)
            return self.clock.time() + self.max_interval

    # -- sending --------------------------------------------------------------------------------------------------

    def _send_due(self) -> float:
        """Send what is due; returns seconds until there is something to do."""
        now = self.clock.time()
        self._notice_steps(now)
        while self._queue and self._queue[0][0] <= now and self.clock.monotonic() >= self._publish_at:
            self._send_batch(self._take_due(now), now)
            self._lead_on()
        self._seen = self.last_tick_at = now
        wait = min(self.max_interval, POLL_INTERVAL, self._renew_at - self.clock.monotonic())
        if self._queue:
            wait = min(wait, max(self._queue[0][0] - self.clock.time(), self._publish_at - self.clock.monotonic()))
        return max(wait, 0.0)

    def _lead_on(self) -> None:
        """Between two batches: renew, or stop before the lease does."""
        if not self._lead():
            raise LeadershipLost("another scheduler has become the leader")

    def _take_due(self, now: float) -> list[str]:
        names: list[str] = []
        while self._queue and self._queue[0][0] <= now and len(names) < _BATCH:
            at, name = heapq.heappop(self._queue)
            if self._due.get(name) == at:
                del self._due[name]
                names.append(name)
        return names

    def _notice_steps(self, now: float) -> None:
        """Tell whether somebody has set the clock since the last tick."""
        offset = now - self.clock.monotonic()
        step = 0.0 if self._offset is None else offset - self._offset
        self._offset = offset
        if abs(step) < _STEP:
            return
        logger.warning("beat: The clock was set %s by %.0f s", "forward" if step > 0 else "back", abs(step))
        self._seen = None
        if step < 0:
            self._count_from(now)

    def _count_from(self, now: float) -> None:
        """After the clock was set back: what has run in its future does not keep entries waiting until then."""
        writes = []
        for name, (revision, record) in self._records.items():
            if record.anchor > now:
                writes.append(Write.of(name, revision, record.changed(anchor=now).dump()))
        self.store.write_many(writes, self.token)
        self._read()

    def _send_batch(self, names: list[str], now: float) -> None:
        """Claim, send and confirm one run of each entry."""
        claims: dict[str, Record] = {}
        for name in names:
            found = self._claim(name, now)
            if found is not None:
                claims[name] = found
        claimed = self._store(claims)
        sent: dict[str, Record] = {}
        for name in claims:
            if name in claimed:
                self._send_claimed(name, sent, now)
        self._confirm(sent)
        for name in names:
            if name in self._records and name not in self._due:
                self._enqueue(name)

    def _claim(self, name: str, now: float) -> Record | None:
        """The record with a run claimed; None when there is nothing to send."""
        entry, (_, record) = self._entry(name), self._records[name]
        if record.claimed is not None and record.enabled:
            return record
        if record.requested is not None:
            return record.changed(claimed=[record.requested, record.anchor], requested=None)
        if not record.enabled:
            return None
        seen = now if self._seen is None else self._seen
        deadline = self.app.conf.beat_cron_starting_deadline
        try:
            found = plan(entry, record, now, seen=seen, grace=self.lease, deadline=deadline)
        except Exception as exc:
            logger.exception("beat: Cannot calculate the next run of %r: %r", entry, exc)
            self._enqueue(name, now + self.max_interval)
            return None
        if found.due is not None:
            return record.changed(claimed=[found.due, found.after], anchor=found.anchor)
        if found.anchor != record.anchor:
            logger.warning("beat: Runs of %s missed before %s are left out", name, moment(found.anchor))
            self._store({name: record.changed(anchor=found.anchor)})
        return None

    def _send_claimed(self, name: str, sent: dict[str, Record], now: float) -> None:
        """Publish one run, and note that it is to be confirmed."""
        _, record = self._records[name]
        entry = self._entry(name)
        if record.claimed is None or entry is None:
            return
        if self.clock.monotonic() >= self._lease_until:
            raise LeadershipLost("the lease ran out before everything was sent")
        if self.clock.monotonic() < self._publish_at:
            self._enqueue(name, now)
            return
        due, anchor = record.claimed
        logger.info("Scheduler: Sending due task %s (%s)", name, entry.task)
        try:
            self._publish(entry, name, record.count, due)
        except SchedulingError as exc:
            if isinstance(exc.__cause__, Superseded):
                raise LeadershipLost(str(exc.__cause__)) from exc
            if isinstance(exc.__cause__, OperationalError):
                self._postpone(name, exc, now)
                return
            # Trying again would not help: the next run may.
            logger.exception("Message Error: %s", exc)
        self._failed_in_row = 0
        self._failed.pop(name, None)
        now = self.clock.time()
        sent[name] = record.changed(claimed=None, anchor=anchor, count=record.count + 1, last_run_at=now)

    def _publish(self, entry: Any, name: str, number: int, due: float) -> None:
        given = entry.options or {}
        task_id = given.get("task_id") or task_id_of(name, number, due)
        options = {"timeout": self._timeout, "retry": False, **given, "task_id": task_id}
        if self.token is not None and self.app.broker.capabilities.once:
            options["once"] = once_of(self.app.name, self.token, name, number, due)
        self.apply_async(entry, advance=False, **options)
        logger.debug("%s sent. id->%s", entry.task, task_id)

    def _postpone(self, name: str, exc: Exception, now: float) -> None:
        """The broker did not take a run: try again later, others first."""
        tries = self._failed[name] = self._failed.get(name, 0) + 1
        wait = min(_RETRY * 2.0 ** (tries - 1), _LONGEST_RETRY)
        logger.error("Message Error: %s; trying again in %g s", exc, wait)
        self._enqueue(name, now + wait)
        self._failed_in_row += 1
        if self._failed_in_row >= _FAILURES:
            self._publish_at = self.clock.monotonic() + _RETRY

    def _confirm(self, sent: dict[str, Record]) -> None:
        """Note what was sent, even if a person has edited the entry meanwhile."""
        left = set(sent) - self._store(sent)
        if not left:
            return
        stored = self.store.load()
        for name in left & set(stored):
            revision, data = stored[name]
            record, mine = Record.load(data), sent[name]
            if record.claimed is not None:
                due = {"count": mine.count, "last_run_at": mine.last_run_at, "claimed": None}
                record = record.changed(anchor=max(record.anchor, mine.anchor), **due)
                self._records[name] = revision, record
                self._store({name: record})

    def _store(self, records: dict[str, Record]) -> set[str]:
        """Write records; of those that somebody else has changed, the new content is read."""
        writes = [Write.of(name, self._records[name][0], record.dump()) for name, record in records.items()]
        written = self.store.write_many(writes, self.token)
        for write in writes:
            if write.name in written:
                self._records[write.name] = write.revision, records[write.name]
        if len(written) < len(writes):
            # Read everything before the next tick.
            self._version = None
        return written

    # -- the rest -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let another scheduler lead at once."""
        try:
            if self.token is not None:
                self.store.release(self.holder)
        except OperationalError as exc:
            logger.warning("beat: The leadership could not be given back, it ends with its lease: %s", exc)
        finally:
            self._stop_leading()
            self.store.close()
