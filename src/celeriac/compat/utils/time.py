"""Names of ``celery.utils.time``."""

from __future__ import annotations

import time as _time
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from celeriac.utils.time import (
    exponential_backoff,
    get_timezone,
    humanize_seconds,
    is_naive,
    localize,
    make_aware,
    maybe_iso8601,
    maybe_make_aware,
    maybe_timedelta,
    rate,
    to_utc,
)

__all__ = [
    "adjust_timestamp",
    "delta_resolution",
    "get_exponential_backoff_interval",
    "humanize_seconds",
    "is_naive",
    "localize",
    "make_aware",
    "maybe_iso8601",
    "maybe_make_aware",
    "maybe_timedelta",
    "rate",
    "remaining",
    "timezone",
    "to_utc",
    "utcoffset",
    "weekday",
]

_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


class _Timezones:
    """Time zones."""

    utc: tzinfo = UTC

    @property
    def local(self) -> tzinfo:
        """That of the machine."""
        zone = datetime.now().astimezone().tzinfo
        return UTC if zone is None else zone

    def get_timezone(self, zone: Any) -> tzinfo:
        """A zone by name; a zone is returned as it is."""
        return get_timezone(zone)

    def tz_or_local(self, tzinfo: Any = None) -> tzinfo:
        """A zone, or that of the machine."""
        return self.local if tzinfo is None else get_timezone(tzinfo)

    def to_local(self, dt: datetime, local: Any = None, orig: Any = None) -> datetime:
        """A time on the clock of a zone; one without a zone is in ``orig``, or UTC."""
        if is_naive(dt):
            dt = make_aware(dt, orig or UTC)
        return localize(dt, self.tz_or_local(local))

    def to_system(self, dt: datetime) -> datetime:
        """A time on the clock of the machine."""
        return dt.astimezone()


timezone = _Timezones()


def weekday(name: str) -> int:
    """The number of a day of the week, Sunday being 0.

    Raises:
        KeyError: There is none of that name.
    """
    short = name[:3].lower()
    if short not in _WEEKDAYS:
        raise KeyError(name)
    return _WEEKDAYS.index(short)


def delta_resolution(dt: datetime, delta: timedelta) -> datetime:
    """A time rounded down: to the day for deltas of days, to the hour for hours, to the minute for minutes."""
    seconds = delta.total_seconds()
    if seconds >= 86400:
        return dt.replace(hour=0, minute=0, second=0, microsecond=0)
    if seconds >= 3600:
        return dt.replace(minute=0, second=0, microsecond=0)
    return dt.replace(second=0, microsecond=0) if seconds >= 60 else dt


def remaining(start: datetime, ends_in: timedelta, now: datetime | None = None, relative: bool = False) -> timedelta:
    """What is left of a time that began at ``start``.

    Args:
        start: Its beginning.
        ends_in: Its length.
        now: The present time; None asks the clock.
        relative: Round the end down, see `delta_resolution`.
    """
    now = now or datetime.now(start.tzinfo)
    end = start + ends_in
    return (delta_resolution(end, ends_in) if relative else end) - now


def utcoffset(time: Any = _time, localtime: Any = _time.localtime) -> int:
    """Hours that the local time is behind UTC."""
    return int((time.altzone if localtime().tm_isdst else time.timezone) // 3600)


def adjust_timestamp(ts: float, offset: float, here: Any = utcoffset) -> float:
    """A timestamp of a machine that is ``offset`` hours behind UTC, as one of this machine."""
    hours: float = offset - here()
    return ts - hours * 3600


def get_exponential_backoff_interval(factor: float, retries: int, maximum: float, full_jitter: bool = False) -> int:
    """Seconds to wait before a retry."""
    return int(exponential_backoff(factor, retries, maximum, full_jitter=full_jitter))
