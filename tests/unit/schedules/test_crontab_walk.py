"""`crontab` against a walk over every minute: the rule for jumping clocks, stated as simply as it can be.

`make test` takes a sample with a fixed seed; `make schedules` takes every zone and as many crontabs as one likes.
"""

from __future__ import annotations

import os
import random
import sys
import time
import zoneinfo
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from celeriac.schedules import crontab
from tests.support.wall_walk import DAY, Fields, Walk, Years, some_fields

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Crontabs for each zone, from `make schedules`.
CRONTABS = int(os.environ.get("CELERIAC_TEST_CRONTABS", "0"))
#: Jumps by an hour, by half of one, by two, over midnight, over a whole day; none; those of Ramadan.
SAMPLE = (
    "Africa/Casablanca", "America/Havana", "America/New_York", "America/St_Johns", "Antarctica/Troll", "Asia/Gaza",
    "Asia/Kathmandu", "Asia/Tehran", "Australia/Lord_Howe", "Europe/Dublin", "Pacific/Chatham",
)  # fmt: skip
#: Minutes before and after a jump whose runs are all compared.
AROUND = 75
#: Instants asked about in each zone besides these, and runs in a row in one zone.
INSTANTS, ROW = 50, 20_000


class Comparison:
    """One crontab in one zone.

    Args:
        fields: Its fields.
        zone: The zone.
        walk: What the zone's clock shows.
        years: From when minutes are counted.
    """

    def __init__(self, fields: Fields, zone: zoneinfo.ZoneInfo, walk: Walk, years: Years) -> None:
        self._walk, self._years, self._where = walk, years, zone.key
        self._matching = years.matching(fields)
        self.compared = 0
        self._schedule: crontab | None = None
        try:
            minute, hour, weekday, day, month = fields.text
            self._schedule = crontab(minute, hour, weekday, day, month, tz=zone)
        except ValueError:
            assert not len(self._matching), f"{fields.text} is refused, although it occurs"

    def around_jumps(self) -> None:
        """All runs shortly before and after each jump, and the one that follows."""
        for jump in self._walk.jumps:
            if self._years.low < jump < self._years.high - DAY:
                low = jump - AROUND
                self._compare(low, self._walk.runs(self._matching, low, jump + AROUND))

    def anywhere(self, rng: random.Random) -> None:
        """The run that follows each of some instants."""
        for _ in range(INSTANTS):
            low = rng.randrange(self._years.low, self._years.high)
            self._compare(low, self._walk.row(self._matching, low, 1), rng.randrange(1, 61))

    def in_a_row(self, rng: random.Random) -> None:
        """Many runs; of a crontab that has no more, all."""
        low = self._years.low
        if len(self._matching) > ROW:
            low += rng.randrange((self._years.high - low) // 2)
        self._compare(low, self._walk.row(self._matching, low, ROW))

    def _compare(self, low: int, expected: NDArray[Any], before: int = 1) -> None:
        if self._schedule is None:
            return
        start = self._years.start
        moment, found = start + timedelta(minutes=low, seconds=-before), []
        for _ in range(len(expected)):
            moment = self._schedule.following(moment)
            found.append((moment - start).total_seconds())
        self.compared += len(found)
        wrong = np.flatnonzero(np.array(found) != expected * 60)
        if len(wrong):
            pytest.fail(
                f"{self._schedule!r} in {self._where}: {start + timedelta(seconds=found[wrong[0]])} has to be "
                f"{start + timedelta(minutes=int(expected[wrong[0]]))}"
            )


def compare(zone: zoneinfo.ZoneInfo, walk: Walk, years: Years, rng: random.Random, crontabs: list[Fields]) -> int:
    """Compare all crontabs in a zone; returns how many runs were compared."""
    walk.walk()
    compared = 0
    for fields in crontabs:
        comparison = Comparison(fields, zone, walk, years)
        comparison.around_jumps()
        comparison.anywhere(rng)
        compared += comparison.compared
    return compared


def test_crontabs_run_when_a_walk_over_every_minute_says() -> None:
    rng, years = random.Random(11), Years(2022, 2)
    for name in SAMPLE:
        zone = zoneinfo.ZoneInfo(name)
        assert compare(zone, Walk(zone, years), years, rng, [some_fields(rng) for _ in range(4)])


def report(text: str) -> None:
    """Tell whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def different_clocks(years: Years) -> list[tuple[zoneinfo.ZoneInfo, Walk]]:
    """Zones whose clocks differ in these years; many names are others for the same."""
    found: dict[object, tuple[zoneinfo.ZoneInfo, Walk]] = {}
    names = sorted(zoneinfo.available_timezones())
    for name in names:
        zone = zoneinfo.ZoneInfo(name)
        walk = Walk(zone, years)
        found.setdefault(walk.clock(), (zone, walk))
    report(f"{len(names)} zones, {len(found)} different clocks, {CRONTABS} crontabs")
    return list(found.values())


if CRONTABS:

    @pytest.mark.timeout(0)
    def test_crontabs_run_in_every_zone_when_a_walk_over_ten_years_says() -> None:
        rng, years, began, compared = random.Random(12), Years(2020, 10), time.process_time(), 0
        crontabs = [some_fields(rng) for _ in range(CRONTABS)]
        zones = different_clocks(years)
        assert len(zones) > 50
        for number, (zone, walk) in enumerate(zones):
            compared += compare(zone, walk, years, rng, crontabs)
            for fields in crontabs[number :: len(zones)]:
                comparison = Comparison(fields, zone, walk, years)
                comparison.in_a_row(rng)
                compared += comparison.compared
            walk.forget()
            spent = time.process_time() - began
            report(f"{number + 1}/{len(zones)} {zone.key}: {compared:,} runs compared, {spent:.0f} s of CPU")
