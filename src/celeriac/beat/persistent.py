"""`PersistentScheduler`: any number of them share a store; one leads, and each run is claimed before it is sent.

One tick: lead if nobody else does (`leadership`), read what was edited (`standing`), send what is due (`sending`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from celeriac.beat.agenda import Agenda
from celeriac.beat.leadership import Leadership
from celeriac.beat.scheduler import Scheduler, logger
from celeriac.beat.sending import BATCH, Sending
from celeriac.beat.standing import Standing
from celeriac.beat.store import LeadershipLost, open_store
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from celeriac.app.base import Celery
    from celeriac.beat.store import ScheduleStore

__all__ = ["PersistentScheduler", "store_of"]

#: Longest sleep of a leader in seconds: edits are to take effect within five.
POLL_INTERVAL: Final = 2.0
#: Seconds to wait after the store could not be reached.
_RETRY: Final = 1.0
#: Seconds by which the wall clock and the other one may drift apart between two ticks.
_STEP: Final = 2.0


def store_of(app: Celery, filename: str | None = None, timeout: float = 4.0) -> ScheduleStore:
    """The schedule store of an app.

    Args:
        app: The application.
        filename: Path or URL; None is ``beat_store_url``, or else ``beat_schedule_filename``.
        timeout: Seconds for an operation.
    """
    conf = app.conf
    return open_store(filename or conf.beat_store_url or conf.beat_schedule_filename, app.name, timeout)


def _celery_file(app: Celery, filename: str | None) -> Path | None:
    """Where Celery's beat would keep its schedule."""
    path = filename if filename and "://" not in filename else app.conf.beat_schedule_filename
    return Path(path) if path and "://" not in path else None


class PersistentScheduler(Scheduler):
    """Keeps in a store when entries ran last, and shares it with other schedulers.

    Args:
        schedule_filename: Path of an SQLite file, or URL of a store; None is the setting.
        store: The store itself, instead.
        **kwargs: As for `Scheduler`.

    Attributes:
        last_tick_at: Unix time of the last look at all entries, as the leader.
    """

    def __init__(
        self, app: Celery, *args: Any, schedule_filename: str | None = None, store: Any = None, **kwargs: Any
    ) -> None:
        self.lease = float(app.conf.beat_lease)
        # A leader that hangs on its store or its broker must notice before its lease runs out.
        timeout = min(4.0, self.lease / 4)
        self.store: ScheduleStore = store or store_of(app, schedule_filename, timeout)
        self.last_tick_at: float | None = None
        #: Unix time of the last look; None when there was none, or the clock was set since.
        self._seen: float | None = None
        #: Unix time at which the monotonic clock was at 0.
        self._offset: float | None = None
        self._unreachable = False
        super().__init__(app, *args, **kwargs)
        self.leadership = Leadership(self.store, self.clock, self.lease)
        self.standing = Standing(app, self.store, _celery_file(app, schedule_filename))
        self._agenda = Agenda()
        self._sending = Sending(
            app, lambda entry, **options: self.apply_async(entry, advance=False, **options), self.standing,
            self._agenda, self.leadership, self.clock, timeout=timeout, max_interval=self.max_interval,
        )  # fmt: skip

    @property
    def token(self) -> int | None:
        """Fencing token while it leads."""
        return self.leadership.token

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
                return self.leadership.look_interval
            if not self.standing.is_current():
                self._read()
            wait = self._send_due()
        except LeadershipLost as exc:
            logger.warning("beat: %s", exc)
            self._stop_leading()
            return _RETRY
        except OperationalError as exc:
            self._note_unreachable(exc)
            return _RETRY
        if self._unreachable:
            logger.info("beat: The schedule store %s is reachable again", self.store.url)
            self._unreachable = False
        return wait

    def _note_unreachable(self, exc: Exception) -> None:
        if not self._unreachable:
            logger.error(
                "beat: The schedule store %s cannot be used, trying again every %g s: %s", self.store.url, _RETRY, exc
            )
        self._unreachable = True
        self._seen = None
        # What was on its way then is in the store, and nowhere else.
        self.standing.forget()
        if self.token is not None and self.leadership.has_run_out:
            self._stop_leading()

    def _lead(self) -> bool:
        """Take or renew the leadership."""
        before = self.token
        token = self.leadership.hold()
        if token is None:
            if before is not None:
                logger.warning("beat: Another scheduler leads now; this one stands by")
            self._stop_leading()
            return False
        if token != before:
            logger.info("beat: Leading the schedule in %s (token %d)", self.store.url, token)
            self._seen = None
            self.standing.forget()
        return True

    def _stop_leading(self) -> None:
        self.leadership.drop()
        self.standing.forget()
        self._seen = None

    def _read(self) -> None:
        """Read the store, and look at every entry."""
        self.standing.read(self.schedule, self.clock.time(), self.token)
        self._sending.look_at_all()
        if logger.isEnabledFor(logging.DEBUG):
            entries = map(self.standing.entry, self.standing.records)
            logger.debug("Current schedule:\n%s", "\n".join(repr(entry) for entry in entries if entry is not None))

    # -- sending --------------------------------------------------------------------------------------------------

    def _send_due(self) -> float:
        """Send what is due; returns seconds until there is something to do."""
        now = self.clock.time()
        self._notice_steps(now)
        seen = now if self._seen is None else self._seen
        while not self._sending.is_paused and (names := self._agenda.take(now, BATCH)):
            self._sending.send(names, now, seen=seen, grace=self.lease)
            self._lead_on()
            if self.standing.is_forgotten:
                # Somebody has edited what was to be sent.
                return 0.0
        self._seen = self.last_tick_at = now
        return self._wait()

    def _lead_on(self) -> None:
        """Between two batches: renew, or stop before the lease does."""
        token = self.token
        if not self._lead() or self.token != token:
            raise LeadershipLost("another scheduler has become the leader")

    def _wait(self) -> float:
        now = self.clock.monotonic()
        wait = min(self.max_interval, POLL_INTERVAL, self.leadership.renew_at - now)
        first = self._agenda.first
        if first is not None:
            wait = min(wait, max(first - self.clock.time(), self._sending.paused_until - now))
        return max(wait, 0.0)

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
            self.standing.count_from(now, self.token)
            self._read()

    # -- the rest -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let another scheduler lead at once."""
        try:
            self.leadership.give_back()
        except OperationalError as exc:
            logger.warning("beat: The leadership could not be given back, it ends with its lease: %s", exc)
        finally:
            self._stop_leading()
            self.store.close()
