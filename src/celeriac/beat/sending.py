"""Runs on their way: claimed in the store under the leader's token, published, and confirmed in the store.

The id of a run is made of entry, number and time, so that whoever leads next sends again, under the same id, what was
claimed and not confirmed; most brokers take it only if they have not taken it before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.planning import next_run, plan
from celeriac.beat.record import moment
from celeriac.beat.runs import once_of, task_id_of
from celeriac.beat.scheduler import SchedulingError, logger
from celeriac.beat.store import LeadershipLost
from celeriac.exceptions import OperationalError, Superseded

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.beat.agenda import Agenda
    from celeriac.beat.clock import Clock
    from celeriac.beat.leadership import Leadership
    from celeriac.beat.record import Record
    from celeriac.beat.standing import Standing

__all__ = ["BATCH", "Sending"]

#: Runs between a claim and its confirmation: what a leader that dies may leave unconfirmed.
BATCH: Final = 20
#: Seconds to wait after the broker could not be reached, and at most for one entry.
_RETRY: Final = 1.0
_LONGEST_RETRY: Final = 5.0
#: Failures in a row after which the broker, rather than an entry, is at fault.
_FAILURES: Final = 2


class Sending:
    """Sends the runs of a scheduler.

    Args:
        app: The application.
        call: Calls the task of an entry with the options of a run.
        standing: Where entries stand.
        agenda: When to look at them next.
        leadership: Gives the token.
        clock: The clock.
        timeout: Seconds for one publish.
        max_interval: Seconds until an entry whose schedule fails is looked at again.

    Attributes:
        paused_until: Monotonic time before which nothing is published.
    """

    def __init__(
        self,
        app: Celery,
        call: Callable[..., Any],
        standing: Standing,
        agenda: Agenda,
        leadership: Leadership,
        clock: Clock,
        *,
        timeout: float,
        max_interval: float,
    ) -> None:
        self._app = app
        self._call = call
        self._standing = standing
        self._agenda = agenda
        self._leadership = leadership
        self._clock = clock
        self._timeout = timeout
        self._max_interval = max_interval
        self.paused_until = 0.0
        self._failed_in_row = 0
        self._failed: dict[str, int] = {}

    @property
    def is_paused(self) -> bool:
        """The broker has just failed."""
        return self._clock.monotonic() < self.paused_until

    # -- when -----------------------------------------------------------------------------------------------------

    def look_at_all(self) -> None:
        """Put every entry where it is looked at next."""
        now = self._clock.time()
        looks = ((name, self._next_look(name, now)) for name in self._standing.records)
        self._agenda.replace({name: at for name, at in looks if at is not None})

    def _next_look(self, name: str, now: float) -> float | None:
        entry, record = self._standing.entry(name), self._standing.record(name)
        if entry is None:
            return None
        if record.requested is not None or (record.claimed is not None and record.enabled):
            return now
        if not record.enabled:
            return None
        try:
            return next_run(entry.schedule, record.anchor)
        except Exception as exc:
            logger.exception("beat: Cannot calculate the next run of %r: %r", entry, exc)
            return now + self._max_interval

    # -- one batch ------------------------------------------------------------------------------------------------

    def send(self, names: list[str], now: float, *, seen: float, grace: float) -> None:
        """Claim, send and confirm one run of each entry.

        Args:
            names: The entries.
            now: Unix time.
            seen: See `celeriac.beat.planning.plan`.
            grace: The same.
        """
        standing, token = self._standing, self._leadership.token
        claims = {name: claim for name in names if (claim := self._claim(name, now, seen, grace)) is not None}
        # What is claimed already is written again: the store tells whether this one still leads.
        claimed = standing.write(claims, token)
        sent: dict[str, Record] = {}
        for name in claims:
            if name in claimed and (done := self._send(name, now)) is not None:
                sent[name] = done
        standing.confirm(sent, token)
        now = self._clock.time()
        for name in names:
            if name in standing.records and name not in self._agenda:
                self._agenda.put(name, self._next_look(name, now))

    def _claim(self, name: str, now: float, seen: float, grace: float) -> Record | None:
        """The record with a run claimed; None when there is nothing to send."""
        entry, record = self._standing.entry(name), self._standing.record(name)
        if record.claimed is not None and record.enabled:
            return record
        if record.requested is not None:
            return record.changed(claimed=[record.requested, record.anchor], requested=None)
        if not record.enabled:
            return None
        deadline = self._app.conf.beat_cron_starting_deadline
        try:
            found = plan(entry, record, now, seen=seen, grace=grace, deadline=deadline)
        except Exception as exc:
            logger.exception("beat: Cannot calculate the next run of %r: %r", entry, exc)
            self._agenda.put(name, now + self._max_interval)
            return None
        if found.due is not None:
            return record.changed(claimed=[found.due, found.after], anchor=found.anchor)
        if found.anchor != record.anchor:
            logger.warning("beat: Runs of %s missed before %s are left out", name, moment(found.anchor))
            self._standing.write({name: record.changed(anchor=found.anchor)}, self._leadership.token)
        return None

    def _send(self, name: str, now: float) -> Record | None:
        """Publish one run; returns the record that confirms it, or None when it is to be tried again."""
        entry, record = self._standing.entry(name), self._standing.record(name)
        if record.claimed is None or entry is None:
            return None
        token = self._leadership.check()
        if self.is_paused:
            self._agenda.put(name, now)
            return None
        due, anchor = record.claimed
        logger.info("Scheduler: Sending due task %s (%s)", name, entry.task)
        try:
            self._publish(entry, name, record.count, due, token)
        except SchedulingError as exc:
            if isinstance(exc.__cause__, Superseded):
                raise LeadershipLost(str(exc.__cause__)) from exc
            if isinstance(exc.__cause__, OperationalError):
                self._postpone(name, exc, now)
                return None
            # Trying again would not help: the next run may.
            logger.exception("Message Error: %s", exc)
        self._failed_in_row = 0
        self._failed.pop(name, None)
        return record.changed(claimed=None, anchor=anchor, count=record.count + 1, last_run_at=self._clock.time())

    def _publish(self, entry: Any, name: str, number: int, due: float, token: int) -> None:
        given = entry.options or {}
        run_id = task_id_of(name, number, due)
        task_id = given.get("task_id") or run_id
        options = {"timeout": self._timeout, "retry": False, **given, "task_id": task_id}
        if self._app.broker.capabilities.once:
            options["once"] = once_of(self._app.name, token, name, run_id)
        self._call(entry, **options)
        logger.debug("%s sent. id->%s", entry.task, task_id)

    def _postpone(self, name: str, exc: Exception, now: float) -> None:
        """The broker did not take a run: try again later, others first."""
        tries = self._failed[name] = self._failed.get(name, 0) + 1
        wait = min(_RETRY * 2.0 ** (tries - 1), _LONGEST_RETRY)
        logger.error("Message Error: %s; trying again in %g s", exc, wait)
        self._agenda.put(name, now + wait)
        self._failed_in_row += 1
        if self._failed_in_row >= _FAILURES:
            self.paused_until = self._clock.monotonic() + _RETRY
