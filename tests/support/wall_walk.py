"""Crontabs by brute force: every minute of some years, what the clock on the wall shows, and which fields match.

It shares nothing with the schedules under test: fields are generated together with the values they stand for, and
a zone is asked for its offset hour by hour, minute by minute where it changed within an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import random
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

__all__ = ["DAY", "Fields", "Walk", "Years", "some_fields"]

DAY = 1440
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class Fields:
    """A crontab as text, in the order of `crontab`'s arguments, and the values that its fields stand for."""

    text: tuple[str, ...]
    values: tuple[frozenset[int], ...]


def some_fields(rng: random.Random) -> Fields:
    """Fields of a crontab; they may belong to no day that exists."""
    bounds = ((0, 59, 0.2), (0, 23, 0.4), (0, 6, 0.7), (1, 31, 0.7), (1, 12, 0.7))
    fields = [_some_field(rng, *bound) for bound in bounds]
    return Fields(tuple(text for text, _ in fields), tuple(frozenset(values) for _, values in fields))


def _some_field(rng: random.Random, low: int, high: int, wide: float) -> tuple[str, list[int]]:
    everything = list(range(low, high + 1))
    if rng.random() < wide:
        return "*", everything
    kind, step = rng.randrange(4), rng.randint(1, 5)
    first, last = rng.randint(low, high), rng.randint(low, high)
    within = [value for value in everything if first <= value <= last]
    if first > last:
        within = [value for value in everything if value >= first] + [value for value in everything if value <= last]
    if kind == 0:
        step = rng.randrange(1, high - low + 2)
        return f"*/{step}", everything[::step]
    if kind == 1:
        named = high == 6 and rng.random() < 0.5
        return (f"{_WEEKDAYS[first]}-{_WEEKDAYS[last]}" if named else f"{first}-{last}"), within
    if kind == 2:
        return f"{first}-{last}/{step}", within[::step]
    chosen = [rng.randint(low, high) for _ in range(rng.randint(1, 4))]
    return ",".join(map(str, chosen)), chosen


class Years:
    """The calendar of some years, two days more at both ends: minutes are counted from its start.

    Args:
        first: The first year.
        count: How many.
    """

    def __init__(self, first: int, count: int) -> None:
        self.start = datetime(first, 1, 1, tzinfo=UTC) - timedelta(days=2)
        days = (datetime(first + count, 1, 1, tzinfo=UTC) - self.start).days + 2
        self.minutes = days * DAY
        self.hours = [self.start + timedelta(hours=hour) for hour in range(days * 24 + 1)]
        #: What is compared: the minutes of the years themselves.
        self.low, self.high = 2 * DAY, self.minutes - 2 * DAY
        dates = np.datetime64(self.start.replace(tzinfo=None), "D") + np.arange(days)
        months = dates.astype("datetime64[M]")
        self._month = months.astype(int) % 12 + 1
        self._day = (dates - months).astype(int) + 1
        # 1970 began on a Thursday.
        self._weekday = (dates.astype(int) + 4) % 7

    def matching(self, fields: Fields) -> Matching:
        """The minutes of a wall clock whose fields all match."""
        minute, hour, weekday, day, month = (_table(values) for values in fields.values)
        days = np.flatnonzero(weekday[self._weekday] & day[self._day] & month[self._month])
        return Matching(days * DAY, np.flatnonzero(np.logical_and.outer(hour[:24], minute).ravel()))


@dataclass(frozen=True)
class Matching:
    """Minutes of a wall clock: all these times of all these days, each with its first minute."""

    days: NDArray[Any]
    times: NDArray[Any]

    def __len__(self) -> int:
        return len(self.days) * len(self.times)

    def between(self, low: int, high: int) -> NDArray[Any]:
        """Those from one minute on and before another."""
        first, last = np.searchsorted(self.days, (low - DAY + 1, high))
        found: NDArray[Any] = np.add.outer(self.days[first:last], self.times).ravel()
        return found[np.searchsorted(found, low) : np.searchsorted(found, high)]

    def first(self, minute: int, count: int) -> NDArray[Any]:
        """So many of them, from a minute on."""
        first = np.searchsorted(self.days, minute - DAY + 1)
        found: NDArray[Any] = np.add.outer(self.days[first : first + 2 + count // len(self.times)], self.times).ravel()
        return found[np.searchsorted(found, minute) :][:count]


def _table(values: frozenset[int]) -> NDArray[Any]:
    table = np.zeros(60, dtype=bool)
    table[list(values)] = True
    return table


class Walk:
    """The clock of a zone, minute by minute.

    Args:
        zone: The zone.
        years: Which years.

    Attributes:
        jumps: Minutes at which the clock is set.
    """

    def __init__(self, zone: ZoneInfo, years: Years) -> None:
        self._years = years
        offsets = [moment.astimezone(zone).utcoffset() for moment in years.hours]
        changed = [hour for hour, (a, b) in enumerate(pairwise(offsets)) if a != b]
        #: Minutes by which it is ahead, at the start and at each jump.
        self._ahead = [(0, _minutes(offsets[0]))]
        for hour in changed:
            moments = [years.hours[hour] + timedelta(minutes=minute) for minute in range(61)]
            within = [moment.astimezone(zone).utcoffset() for moment in moments]
            self._ahead += [
                (hour * 60 + minute, _minutes(b)) for minute, (a, b) in enumerate(pairwise(within), 1) if a != b
            ]
        self.jumps = [jump for jump, _ in self._ahead[1:]]

    def clock(self) -> tuple[object, ...]:
        """Equal for zones whose clocks show the same in these years."""
        return tuple(self._ahead)

    def walk(self) -> None:
        """Go through all minutes."""
        wall = np.arange(self._years.minutes)
        for (jump, ahead), (until, _) in pairwise([*self._ahead, (self._years.minutes, 0)]):
            wall[jump:until] += ahead
        #: The latest minute on the wall that was shown or jumped over by then.
        self._latest = np.maximum.accumulate(wall)
        #: For each minute on the wall, when this was so for the first time.
        self._first_shown = np.searchsorted(self._latest, np.arange(self._years.minutes)).astype(np.int32)

    def forget(self) -> None:
        """Free the memory of the minutes."""
        del self._latest, self._first_shown

    def runs(self, matching: Matching, low: int, high: int) -> NDArray[Any]:
        """The minutes from one on and before another at which a crontab runs, and the run that follows these."""
        first, last = int(self._latest[low - 1]) + 1, int(self._latest[high - 1]) + 1
        return self._when(np.concatenate([matching.between(first, last), matching.first(last, 1)]))

    def row(self, matching: Matching, low: int, count: int) -> NDArray[Any]:
        """So many runs at most, from a minute on."""
        return self._when(matching.first(int(self._latest[low - 1]) + 1, count))

    def _when(self, wall: NDArray[Any]) -> NDArray[Any]:
        runs: NDArray[Any] = self._first_shown[wall[wall < self._years.high]]
        return runs[np.diff(runs, prepend=-1) > 0]


def _minutes(offset: timedelta | None) -> int:
    assert offset is not None and offset % timedelta(minutes=1) == timedelta(0)
    return offset // timedelta(minutes=1)
