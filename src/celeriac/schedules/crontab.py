"""`crontab`: the minutes whose fields all match, on the wall clock of a zone.

The next run is found field by field, from the month down; no minute is looked at that does not match.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from celeriac.schedules.base import BaseSchedule, schedstate
from celeriac.schedules.cronfield import expand
from celeriac.schedules.wall import instant_of, wall_after
from celeriac.utils.time import to_utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

__all__ = ["crontab"]

#: Days a month may have.
_LONGEST: Final = (0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: Years to search: 29 February on a given weekday comes at least every 40 years.
_HORIZON: Final = 100


class crontab(BaseSchedule):  # noqa: N801 - Celery's documented name
    """The minutes whose fields all match; unlike in cron, day of week and day of month have to match both.

    A time that a clock put forward leaves out runs at the first instant after the jump; a time that a clock put back
    shows twice runs once, at its first coming.

    >>> crontab(minute=0, hour="*/6")
    <crontab: 0 */6 * * * (m/h/dM/MY/d)>

    Args:
        minute: 0 to 59: an int, ints, or text such as ``*/15`` or ``0,30``.
        hour: 0 to 23.
        day_of_week: 0 (Sunday) to 6, or names.
        day_of_month: 1 to 31.
        month_of_year: 1 to 12, or names.
        nowfun: See `BaseSchedule`.
        app: See `BaseSchedule`.
        tz: Its time zone, or the name of one; None is that of ``nowfun``, or of the app.

    Raises:
        ParseException: A field does not follow the grammar.
        ValueError: A value is out of range, or the day never comes in these months.
        TypeError: A field is neither int, str nor ints.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
        nowfun: Callable[[], datetime] | None = None,
        app: Any = None,
        tz: str | tzinfo | None = None,
    ) -> None:
        super().__init__(nowfun, app)
        if tz is not None:
            self.tz = tz
        given = (minute, hour, day_of_week, day_of_month, month_of_year)
        # An iterator would be used up by reading it.
        kept = ["*" if each is None else each if isinstance(each, int | str) else _kept(each) for each in given]
        self._orig_minute, self._orig_hour, self._orig_day_of_week = kept[:3]
        self._orig_day_of_month, self._orig_month_of_year = kept[3:]
        self.hour = expand(kept[1], 24)
        self.minute = expand(kept[0], 60)
        self.day_of_week = expand(kept[2], 7)
        self.day_of_month = expand(kept[3], 31, 1)
        self.month_of_year = expand(kept[4], 12, 1)
        if min(self.day_of_month) > max(_LONGEST[month] for month in self.month_of_year):
            raise ValueError(
                f"Invalid crontab: day_of_month {str(kept[3])!r} never occurs in month_of_year {str(kept[4])!r}."
            )
        self._minutes, self._hours = sorted(self.minute), sorted(self.hour)
        self._days, self._months = sorted(self.day_of_month), sorted(self.month_of_year)

    @classmethod
    def from_string(cls, crontab: str) -> crontab:
        """A crontab in cron's order: minute, hour, day of month, month, day of week.

        Raises:
            ValueError: There are not five fields with one space between them.
        """
        fields = crontab.split(" ")
        if len(fields) != 5:
            raise ValueError(
                f"A crontab has five fields with single spaces between them (minute hour day_of_month month_of_year "
                f"day_of_week), got {crontab!r}"
            )
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    # --------------------------------------------------------------------------------------- when it runs

    def following(self, after: datetime) -> datetime:
        after, zone = after if after.tzinfo is UTC else to_utc(after), self.tz
        wall = self._matching(wall_after(after, zone))
        found = instant_of(wall, zone)
        while found <= after:
            # In the remainder of a gap, or of a fold whose bounds are no whole minutes.
            wall = self._matching(wall + timedelta(minutes=1))
            found = instant_of(wall, zone)
        return found

    def _matching(self, wall: datetime) -> datetime:
        """The first matching minute, this one or later."""
        if wall.month in self.month_of_year and wall.day in self.day_of_month:
            time = self._time(wall.hour, wall.minute) if wall.isoweekday() % 7 in self.day_of_week else None
            if time is not None:
                return datetime(wall.year, wall.month, wall.day, *time)
        day = self._day(wall.year, wall.month, wall.day + 1) or self._next_month(wall)
        return datetime(day.year, day.month, day.day, self._hours[0], self._minutes[0])

    def _time(self, hour: int, minute: int) -> tuple[int, int] | None:
        """The first matching time of a day, not before this one."""
        if hour in self.hour:
            place = bisect_left(self._minutes, minute)
            if place < len(self._minutes):
                return hour, self._minutes[place]
        place = bisect_left(self._hours, hour + 1)
        return (self._hours[place], self._minutes[0]) if place < len(self._hours) else None

    def _day(self, year: int, month: int, first: int) -> date | None:
        """The first matching day of a month, not before this one."""
        if month not in self.month_of_year:
            return None
        length = _LONGEST[month] if month != 2 or isleap(year) else 28
        # The weekday of the day before the first, where 0 is Sunday.
        weekday = date(year, month, 1).weekday()
        for day in self._days[bisect_left(self._days, first) :]:
            if day > length:
                return None
            if (weekday + day) % 7 in self.day_of_week:
                return date(year, month, day)
        return None

    def _next_month(self, wall: datetime) -> date:
        """The first matching day of later months."""
        for year in range(wall.year, wall.year + _HORIZON):
            for month in self._months:
                if (year > wall.year or month > wall.month) and (day := self._day(year, month, 1)) is not None:
                    return day
        raise RuntimeError(f"{self!r} does not occur within {_HORIZON} years of {wall}")

    def remaining_delta(self, last_run_at: datetime) -> tuple[datetime, timedelta, datetime]:
        """The last run, how long after it the next is, and now; all in the schedule's zone."""
        last = self.to_local(last_run_at)
        return last, self.following(last) - to_utc(last), self.to_local(self.now())

    def is_due(self, last_run_at: datetime) -> schedstate:
        """As `BaseSchedule.is_due`; not due when the run was missed by more than ``beat_cron_starting_deadline``."""
        state = super().is_due(last_run_at)
        deadline = self.app.conf.beat_cron_starting_deadline
        if state.is_due and deadline is not None:
            late = to_utc(self.now()) - self.following(to_utc(last_run_at))
            if late.total_seconds() > deadline:
                return schedstate(False, state.next)
        return state

    # ------------------------------------------------------------------------------------------ as a value

    def _fields(self) -> tuple[Any, ...]:
        fields = self.minute, self.hour, self.day_of_week, self.day_of_month, self.month_of_year
        return *map(frozenset, fields), self._zone

    def __repr__(self) -> str:
        fields = (
            self._orig_minute, self._orig_hour, self._orig_day_of_month, self._orig_month_of_year,
            self._orig_day_of_week,
        )  # fmt: skip
        return f"<crontab: {' '.join(map(_shown, fields))} (m/h/dM/MY/d)>"

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, crontab) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (
            self._orig_minute, self._orig_hour, self._orig_day_of_week, self._orig_day_of_month,
            self._orig_month_of_year, self.nowfun, None, self._zone,
        )  # fmt: skip
        return type(self), fields


def _kept(field: Any) -> Any:
    return sorted(field) if hasattr(field, "__iter__") else field


def _shown(field: Any) -> str:
    return str(field) if isinstance(field, int | str) else ",".join(map(str, field))
