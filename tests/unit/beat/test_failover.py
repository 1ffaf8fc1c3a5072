"""Three beats, of which the leader dies or stands still again and again, by a clock that no machine makes late."""

from __future__ import annotations

import random
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.beat.planning import next_run
from celeriac.beat.runs import task_id_of
from celeriac.schedules import schedule
from tests.support.beat_clock import NOON
from tests.support.beat_site import Recording, Site

if TYPE_CHECKING:
    from pathlib import Path

LEASE = 15.0
ENTRIES = {"e": {"task": "t", "schedule": 1.0, "misfire": "run_all:10000"}}


class Died(BaseException):
    """What a beat does no more."""


class Fleet:
    """Three beats, and those that stand still.

    Args:
        site: Where they are.
        rng: Says what becomes of leaders.
    """

    def __init__(self, site: Site, rng: random.Random) -> None:
        self.site, self.rng = site, rng
        self.taken: dict[str, Any] = {}
        self.alive: list[Recording] = []
        self.stopped: list[Recording] = []
        for _ in range(3):
            self.start()

    def start(self) -> None:
        beat = self.site.beat(ENTRIES)
        beat.once = self.taken
        self.alive.append(beat)

    def run(self, seconds: float) -> None:
        end = self.site.clock.passed + seconds
        while self.site.clock.passed < end:
            waits = [beat.tick() for beat in self.rng.sample(self.alive, len(self.alive))]
            self.site.clock.sleep(min(max(min(waits), 0.001), end - self.site.clock.passed))

    def lose_leader(self) -> bool:
        """Kill or stop it, where there is one; returns whether there was."""
        leader = next((beat for beat in self.alive if beat.token is not None and not beat.leadership.has_run_out), None)
        if leader is None:
            return False
        self.alive += self.stopped
        self.stopped.clear()
        self.rng.choice((self.die, self.die_amid_a_run, self.stop))(leader)
        return True

    def die(self, leader: Recording) -> None:
        self.alive.remove(leader)
        leader.store.close()
        self.start()

    def die_amid_a_run(self, leader: Recording) -> None:
        """With a run claimed, or sent, and not confirmed."""
        target: Any = self.rng.choice((leader.standing, leader._sending))
        name = "confirm" if target is leader.standing else "_publish"
        setattr(target, name, _die)
        with pytest.raises(Died):
            while True:
                self.site.clock.sleep(leader.tick())
        self.die(leader)

    def stop(self, leader: Recording) -> None:
        self.alive.remove(leader)
        self.stopped.append(leader)


def _die(*args: Any) -> None:
    raise Died


@pytest.mark.parametrize("seed", range(4))
def test_gaps_are_no_longer_than_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    rng = random.Random(seed)
    with closing(Site(tmp_path, monkeypatch)) as site:
        fleet = Fleet(site, rng)
        gaps: list[float] = []
        while site.clock.now < NOON + 300:
            fleet.run(rng.uniform(0.0, 8.0))
            if fleet.lose_leader():
                lost, before = site.clock.now, len(site.sent)
                fleet.run(LEASE)
                gaps.append(next((at for _, at, _ in site.sent[before:]), site.clock.now + LEASE) - lost)
        fleet.run(2)
        assert len(gaps) > 10
        assert max(gaps) <= LEASE
        assert [task_id for _, _, task_id in site.sent] == ids_of_every_second(len(site.sent))
        assert len(site.sent) >= site.clock.now - NOON - LEASE


def ids_of_every_second(count: int) -> list[str]:
    """The ids of the first runs."""
    due, ids = NOON, []

    for number in range(count):
        due = next_run(schedule(1.0), due) or 0.0
        ids.append(task_id_of("e", number, due))
    return ids
