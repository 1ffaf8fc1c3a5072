"""`crontab` against a walk over every minute: the rule for jumping clocks, stated as simply as it can be.

`make test` takes a sample with a fixed seed; `make schedules` takes every zone and as many crontabs as one likes.
"""

from __future__ import annotations

import os
import random
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from celeriac.schedules import crontab

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, YEARS = 2020, 10
#: Crontabs for each zone: 2, or as many as the environment says.
CRONTABS = int(os.environ.get("CELERIAC_TEST_CRONTABS", "2"))
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def jumps(zone: zoneinfo.ZoneInfo) -> tuple[tuple[datetime, timedelta], ...]:
    """The days on which a zone's offset changes, and the offset before."""
    found, moment, week = [], datetime(FIRST, 1, 1, tzinfo=UTC), 7 * DAY

    def offset(moment: datetime) -> timedelta:
        return moment.astimezone(zone).utcoffset() or timedelta(0)

    for _ in range(YEARS * 52):
        if offset(moment) != offset(moment + week):
            days = [moment + number * DAY for number in range(7)]
            found += [(day, offset(day)) for day in days if offset(day) != offset(day + DAY)]
        moment += week
    return tuple(found)


def different_zones() -> list[str]:
    """Zones whose clocks differ in these years; many names are others for the same."""
    by_clock: dict[object, str] = {}
    for name in sorted(zoneinfo.available_timezones()):
        zone = zoneinfo.ZoneInfo(name)
        by_clock.setdefault((datetime(FIRST, 1, 1, tzinfo=zone).utcoffset(), jumps(zone)), name)
    return sorted(by_clock.values())


def walk(zone: zoneinfo.ZoneInfo, start: datetime, minutes: int) -> Iterator[tuple[datetime, list[datetime]]]:
    """Each minute, and the wall times that the clock shows or has jumped over by then for the first time."""
    latest = (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    # What the clock had shown before it was put back, some hours ago.
    for hours in range(1, 26):
        latest = max(latest, (start - timedelta(hours=hours)).astimezone(zone).replace(tzinfo=None))
    for number in range(minutes):
        moment = start + number * MINUTE
        wall, new = moment.astimezone(zone).replace(tzinfo=None), []
        while latest < wall:
            latest += MINUTE
            new.append(latest)
        yield moment, new


def matches(schedule: crontab, wall: datetime) -> bool:
    return (
        wall.minute in schedule.minute
        and wall.hour in schedule.hour
        and wall.isoweekday() % 7 in schedule.day_of_week
        and wall.day in schedule.day_of_month
        and wall.month in schedule.month_of_year
    )


def some_field(rng: random.Random, low: int, high: int, wide: float) -> object:
    if rng.random() < wide:
        return "*"
    kind = rng.randrange(4)
    if kind == 0:
        return f"*/{rng.randrange(1, high - low + 2)}"
    if kind == 1:
        return f"{rng.randint(low, high)}-{rng.randint(low, high)}"
    if kind == 2:
        return f"{rng.randint(low, high)}-{rng.randint(low, high)}/{rng.randint(1, 5)}"
    return ",".join(str(rng.randint(low, high)) for _ in range(rng.randint(1, 4)))


def some_crontab(rng: random.Random, zone: zoneinfo.ZoneInfo) -> crontab:
    while True:
        try:
            return crontab(
                some_field(rng, 0, 59, 0.2), some_field(rng, 0, 23, 0.4), some_field(rng, 0, 6, 0.7),
                some_field(rng, 1, 31, 0.7), some_field(rng, 1, 12, 0.7),
                nowfun=lambda: datetime(FIRST, 1, 1, tzinfo=zone),
            )  # fmt: skip
        except ValueError:
            continue


@pytest.mark.timeout(0 if CRONTABS > 2 else 60)
def test_crontabs_run_when_a_walk_over_every_minute_says() -> None:
    rng = random.Random(11)
    zones = different_zones()
    assert len(zones) > 50
    for name in zones:
        zone = zoneinfo.ZoneInfo(name)
        days = [moment for moment, _ in jumps(zone)]
        somewhere = datetime(FIRST, 1, 1, tzinfo=UTC) + rng.randrange(YEARS * 365) * DAY
        chosen = [somewhere, *(days if CRONTABS > 2 else rng.sample(days, min(len(days), 2)))]
        for start in chosen:
            window = list(walk(zone, start - DAY / 4, 36 * 60))
            for _ in range(CRONTABS):
                check(some_crontab(rng, zone), window, f"{name} at {start:%F}")


def check(schedule: crontab, window: list[tuple[datetime, list[datetime]]], where: str) -> None:
    expected = [moment for moment, new in window if any(matches(schedule, wall) for wall in new)]
    found, moment = [], window[0][0] - timedelta(seconds=1)
    while (moment := schedule.following(moment)) <= window[-1][0]:
        found.append(moment)
    assert found == expected, f"{schedule!r} in {where}"
