"""Several beats, of which the leader is killed or stopped again and again: every run is sent, and sent once."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import closing, suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from celeriac.beat.planning import next_run
from celeriac.beat.runs import task_id_of
from celeriac.schedules import schedule
from tests.support import PATIENCE, SLACK, wait_until
from tests.support.beat import BeatSite

if TYPE_CHECKING:
    from pathlib import Path

    from celeriac.beat.record import Record

#: Seconds; short, to see many changes of leader.
LEASE = 2.0
#: Seconds for which a leader that may keep the lock of a file is stopped at most.
STOPPED = 10.0
#: Seconds between two looks of a witness.
LOOK = 0.05


def has_other_leader(site: BeatSite, lost: int) -> bool:
    return site.leader() not in (None, lost)


@pytest.mark.parametrize(
    ("number", "times"),
    [
        pytest.param(signal.SIGKILL, 2, marks=pytest.mark.chaos("sample")),
        pytest.param(signal.SIGKILL, 30, marks=pytest.mark.chaos("full")),
        pytest.param(signal.SIGSTOP, 20, marks=pytest.mark.chaos("full")),
    ],
)
@pytest.mark.timeout(400)
def test_leader_lost_again_and_again(redis_url: str, tmp_path: Path, number: int, times: int) -> None:
    conf = {
        "broker_url": redis_url,
        "beat_store_url": redis_url,
        "beat_lease": LEASE,
        "beat_schedule": {"often": {"task": "t", "schedule": 0.5, "misfire": "run_all:10000"}},
    }
    with closing(BeatSite(conf, tmp_path)) as site:
        for _ in range(3):
            site.start()
        for _ in range(times):
            site.receive(len(site.received) + 2)
            leader: int = wait_until(lambda: site.leader() or 0, what="a leader")
            os.kill(leader, number)
            wait_until(partial(has_other_leader, site, leader), what="another leader")
            if number == signal.SIGKILL:
                site.start()
            else:
                os.kill(leader, signal.SIGCONT)
        site.receive(len(site.received) + 3)
        for process in site.beats.values():
            process.send_signal(signal.SIGTERM)
        for process in site.beats.values():
            process.wait(PATIENCE)
        with site.book() as book:
            record = book.line("often").record
        site.receive(record.count)
        ids = [each["id"] for each in site.received]
        # Every run has its number, so that a lost one would be missing.
        assert len(ids) == len(set(ids)) == record.count
        assert record.claimed is None


@pytest.mark.parametrize(
    ("store", "seconds", "slack"),
    [
        # On a machine that runs other tests meanwhile.
        pytest.param("sqlite", 6, SLACK, marks=pytest.mark.chaos("sample")),
        *(
            pytest.param(store, 300, 0.0, marks=pytest.mark.chaos("full"))
            for store in ("redis", "postgresql", "sqlite")
        ),
    ],
)
@pytest.mark.timeout(700)
def test_every_second_is_sent_once(
    request: pytest.FixtureRequest, tmp_path: Path, store: str, seconds: int, slack: float
) -> None:
    url = f"sqlite:///{tmp_path}/schedule" if store == "sqlite" else request.getfixturevalue(f"{store}_url")
    broker = f"sqlite:///{tmp_path}/broker" if store == "sqlite" else url
    lease, rng = 5.0, random.Random(seconds)
    entry = {"task": "t", "schedule": 1.0, "misfire": "run_all:10000"}
    conf = {"broker_url": broker, "beat_store_url": url, "beat_lease": lease, "beat_schedule": {"e": entry}}
    with closing(BeatSite(conf, tmp_path)) as site, closing(Arrivals(site)) as arrivals, closing(Witness(site)) as seen:
        for _ in range(3):
            site.start()
        with site.book() as book:
            begin = wait_until(lambda: book.line("e").record, what="the entry is stored").anchor
        losses = disturb(site, rng, begin + seconds, is_file=store == "sqlite")
        end = time.monotonic()
        for process in site.beats.values():
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
        with site.book() as book:
            record = book.line("e").record
        wait_until(lambda: len(arrivals.ids) >= record.count, what=f"{record.count} messages")
        arrivals.close()
        assert record.count >= seconds - lease - SLACK
        assert arrivals.ids == [task_id_of("e", number, due) for number, due in enumerate(every_second(begin, record))]
        assert losses
        for loss, following in pairwise([*losses, Loss(end, 0, is_bound=False)]):
            until = arrivals.first_of_another(loss, before=following.at)
            # Looks at the leadership are a fifteenth of the lease apart. What the machine stood still is no lease.
            allowed = lease + lease / 15 + seen.stood_still(loss.at, until) + slack
            gap = until - loss.at
            assert not loss.is_bound or gap <= allowed, f"{gap:.2f} s of {allowed:.2f} s after {loss}"


def every_second(begin: float, record: Record) -> list[float]:
    """When the runs of the entry were due."""
    found = [begin]
    for _ in range(record.count):
        found.append(next_run(schedule(1.0), found[-1]) or 0.0)
    return found[1:]


class Loss(NamedTuple):
    """A leader that sends no more.

    Attributes:
        at: Monotonic time of it.
        process: Its process id.
        is_bound: Others can go on at once when the lease ends. They cannot while it keeps the lock of a file, which it
            does when it was stopped, and not killed, in the middle of a transaction of SQLite's.
    """

    at: float
    process: int
    is_bound: bool


def disturb(site: BeatSite, rng: random.Random, until: float, *, is_file: bool) -> list[Loss]:
    """Kill or stop the leader again and again; what was killed is started anew, what was stopped goes on later.

    Args:
        site: The beats.
        rng: Decides what is done, and when.
        until: Unix time at which it ends.
        is_file: Their store and broker are SQLite files. One that was stopped goes on after some seconds then, although
            nobody has taken over.
    """
    stopped: list[int] = []
    losses: list[Loss] = []
    while time.time() < until:
        leader: int = wait_until(lambda: site.leader() or 0, what=f"a leader\n{site.log[-2000:]}")
        # At any moment of its work.
        time.sleep(rng.uniform(0.0, 4.0))
        for process in stopped:
            os.kill(process, signal.SIGCONT)
        stopped.clear()
        is_killed = rng.random() < 0.5
        os.kill(leader, signal.SIGKILL if is_killed else signal.SIGSTOP)
        losses.append(Loss(time.monotonic(), leader, is_killed or not is_file))
        if is_killed:
            site.beats[leader].wait(PATIENCE)
            site.start()
        else:
            stopped.append(leader)
        if losses[-1].is_bound:
            wait_until(partial(has_other_leader, site, leader), what=f"another leader\n{site.log[-2000:]}")
        else:
            with suppress(AssertionError):
                wait_until(partial(has_other_leader, site, leader), STOPPED, what="another leader")
    for process in stopped:
        os.kill(process, signal.SIGCONT)
    return losses


class Arrivals:
    """All messages in the order in which they come.

    Args:
        site: Whose messages.

    Attributes:
        ids: Their ids.
    """

    def __init__(self, site: BeatSite) -> None:
        self.ids: list[str] = []
        self._from: list[tuple[float, int]] = []
        self._site = site
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        with closing(self._site.app.broker_for_read.connect()) as session:
            session.consume([self._site.app.queues.get_or_create("celery")])
            while not self._is_over.is_set():
                found = session.fetch(limit=100, wait=0.1)
                now = time.monotonic()
                session.ack_many(found)
                self.ids += [each.message.headers["id"] for each in found]
                self._from += [(now, int(each.message.headers["origin"].partition("@")[0][3:])) for each in found]

    def first_of_another(self, loss: Loss, before: float) -> float:
        """When the first message came from another than a lost leader; or when nobody waited for one any more."""
        found = [at for at, process in self._from if loss.at < at < before and process != loss.process]
        return min(found, default=before)

    def close(self) -> None:
        """Receive no more."""
        self._is_over.set()
        self._thread.join()


class Witness:
    """Asks the store all the time, and notes how much longer than usual that takes.

    Args:
        site: Whose store.
    """

    def __init__(self, site: BeatSite) -> None:
        self._site = site
        self._late: list[tuple[float, float]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        with self._site.book() as book:
            last = time.monotonic()
            while not self._is_over.wait(LOOK):
                book.leader()
                now = time.monotonic()
                self._late.append((now, now - last - LOOK))
                last = now

    def stood_still(self, begin: float, end: float) -> float:
        """Seconds for which the machine had something else to do."""
        return sum(late for at, late in self._late if begin < at and at - late - LOOK < end)

    def close(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()
