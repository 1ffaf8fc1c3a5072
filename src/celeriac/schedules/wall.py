"""Between times on a wall clock and instants, where a zone's clock jumps.

The rule: a wall time that a jump forward leaves out (a gap) means the first instant after the jump, and a wall time
that comes twice (a fold) means its first coming.  So wall times in order are instants in order.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

__all__ = ["instant_of", "wall_after"]

_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_NONE: Final = timedelta(0)
#: The same, as an instant and on a clock in UTC.
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_START: Final = datetime(1970, 1, 1)


def instant_of(wall: datetime, zone: tzinfo) -> datetime:
    """The instant, in UTC, that a naive wall time of whole seconds means in a zone."""
    before, after = _offset(wall, zone), _offset(_second(wall), zone)
    instant = _START + (wall - _NAIVE_START - before)
    if after <= before:
        return instant
    # In a gap the offset before the jump gives an instant after it, and the one after the jump an instant before it.
    late = _START + (wall - _NAIVE_START - after)
    return _first(lambda moment: moment.astimezone(zone).utcoffset() == after, late, instant)


def wall_after(instant: datetime, zone: tzinfo) -> datetime:
    """The first wall time, naive and in whole minutes, that may mean an instant after this one."""
    aware = instant.astimezone(zone)
    wall = datetime(aware.year, aware.month, aware.day, aware.hour, aware.minute) + _MINUTE
    if not aware.fold:
        return wall
    # The second coming: the wall times that are left of the fold all mean their first one.
    length = _offset(wall - _MINUTE, zone) - (aware.utcoffset() or _NONE)
    return _first(lambda moment: not _is_ambiguous(moment, zone), wall - _MINUTE, wall + length, step=_MINUTE)


def _is_ambiguous(wall: datetime, zone: tzinfo) -> bool:
    return _offset(wall, zone) > _offset(_second(wall), zone)


def _second(wall: datetime) -> datetime:
    """The second coming of a wall time; `datetime.replace` takes five times as long."""
    return datetime(wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second, fold=1)


def _offset(wall: datetime, zone: tzinfo) -> timedelta:
    return zone.utcoffset(wall) or _NONE


def _first(holds: Callable[[datetime], bool], low: datetime, high: datetime, *, step: timedelta = _SECOND) -> datetime:
    """The first moment, after ``low`` and up to ``high``, at which something holds that goes on to hold."""
    steps_low, steps_high = 0, (high - low) // step
    while steps_high - steps_low > 1:
        middle = (steps_low + steps_high) // 2
        if holds(low + middle * step):
            steps_high = middle
        else:
            steps_low = middle
    return low + steps_high * step
