"""Schedules of seconds: every so often, and once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from celeriac.schedules.base import BaseSchedule, schedstate
from celeriac.schedules.wall import instant_of
from celeriac.utils.time import humanize_seconds, to_utc

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["clocked", "schedule"]


class schedule(BaseSchedule):  # noqa: N801 - Celery's documented name
    """Every so often, in seconds that pass, whatever the clocks on the walls do.

    Args:
        run_every: Seconds, or a timedelta.
        relative: Round each run down on the wall clock: to midnight for days and more, to the hour for hours, to the
            minute for minutes.
        nowfun: See `BaseSchedule`.
        app: See `BaseSchedule`.

    Raises:
        ValueError: ``run_every`` is not positive.
    """

    relative: bool = False

    def __init__(
        self,
        run_every: float | timedelta | None = None,
        relative: bool = False,
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
    ) -> None:
        super().__init__(nowfun, app)
        if isinstance(run_every, int | float):
            run_every = timedelta(seconds=run_every)
        if not isinstance(run_every, timedelta):
            raise TypeError(f"schedule(run_every=…) takes seconds or a timedelta, got {run_every!r}")
        if run_every <= timedelta(0):
            raise ValueError(f"schedule(run_every=…) has to be longer than nothing, got {run_every!r}")
        self.run_every = run_every
        self.relative = relative

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return max(self.run_every.total_seconds(), 0.0)

    @property
    def human_seconds(self) -> str:
        """The interval for people."""
        return humanize_seconds(self.seconds, microseconds=True)

    def following(self, after: datetime) -> datetime:
        found = to_utc(after) + self.run_every
        return self._rounded(found, after) if self.relative else found

    def latest(self, anchor: datetime, now: datetime) -> datetime:
        if self.relative or now <= anchor:
            return max(anchor, now)
        return anchor + (now - anchor) // self.run_every * self.run_every

    def is_due(self, last_run_at: datetime) -> schedstate:
        remaining = self.remaining_estimate(last_run_at).total_seconds()
        return schedstate(False, remaining) if remaining > 0 else schedstate(True, self.seconds)

    def _rounded(self, moment: datetime, after: datetime) -> datetime:
        wall = moment.astimezone(self.tz).replace(tzinfo=None)
        if self.run_every >= timedelta(days=1):
            wall = wall.replace(hour=0, minute=0, second=0, microsecond=0)
        elif self.run_every >= timedelta(hours=1):
            wall = wall.replace(minute=0, second=0, microsecond=0)
        elif self.run_every >= timedelta(minutes=1):
            wall = wall.replace(second=0, microsecond=0)
        else:
            return moment
        rounded = instant_of(wall, self.tz)
        # Rounding down over a clock that was put back must not lead back to where it came from.
        return rounded if rounded > after else moment

    def __repr__(self) -> str:
        return f"<freq: {self.human_seconds}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, schedule):
            return self.run_every == other.run_every
        return self.run_every == other if isinstance(other, timedelta) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.run_every)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run_every, self.relative, self.nowfun)


class clocked(BaseSchedule):  # noqa: N801 - the name users of such entries know
    """Once, at a given time.

    Args:
        clocked_time: When; a naive time is taken as UTC.
        nowfun: See `BaseSchedule`.
        app: See `BaseSchedule`.
    """

    def __init__(self, clocked_time: datetime, nowfun: Callable[[], datetime] | None = None, app: Any = None) -> None:
        super().__init__(nowfun, app)
        if not isinstance(clocked_time, datetime):
            raise TypeError(f"clocked(…) takes a datetime, got {clocked_time!r}")
        self.clocked_time = to_utc(clocked_time).astimezone(UTC)

    def following(self, after: datetime) -> datetime | None:
        return self.clocked_time if self.clocked_time > to_utc(after) else None

    def __repr__(self) -> str:
        return f"<clocked: {self.clocked_time.isoformat()}>"

    def __eq__(self, other: object) -> bool:
        return self.clocked_time == other.clocked_time if isinstance(other, clocked) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.clocked_time)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.clocked_time, self.nowfun)
