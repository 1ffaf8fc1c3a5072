"""Chords whose workers are killed at random, with messages that come twice, retries and failures."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from celeriac import chord
from tests.support import PATIENCE, wait_until
from tests.support.leftovers import chords_due, messages_left

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker import Workshop

#: Parts of each chord.
SIZE = 20
#: Where bodies and errbacks go: to a worker that is left alone. What is killed while it runs runs again, as any task.
BODIES = "bodies"

sample, full = pytest.mark.chaos("sample"), pytest.mark.chaos("full")


class Chaos:
    """Two workers that run the parts, and are killed; and one that runs bodies and errbacks."""

    def __init__(self, workshop: Workshop, rng: random.Random) -> None:
        self.workshop = workshop
        self.rng = rng
        self.quiet = workshop.start(queues=[BODIES])
        self.workers = [workshop.start() for _ in range(2)]

    def kill_child(self) -> None:
        children = [pid for worker in self.workers for pid in worker.children]
        if children:
            with suppress(ProcessLookupError):
                os.kill(self.rng.choice(children), signal.SIGKILL)

    def kill_worker(self) -> None:
        victim = self.workers.pop(self.rng.randrange(2))
        victim.process.send_signal(signal.SIGKILL)
        victim.wait()
        self.workers.append(self.workshop.start())

    def has_come_to(self, goal: int, wanted: dict[str, str]) -> bool:
        """So many parts have begun, or all is over."""
        return self.progress() >= goal or not open_ids(self.workshop, wanted)

    def progress(self) -> int:
        """Parts that have begun, as far as the size of their ledger tells."""
        with suppress(FileNotFoundError):
            return Path(f"{self.workshop.ledger.path}.parts").stat().st_size // 100
        return 0


def publish_twice(workshop: Workshop, rng: random.Random) -> None:
    """Let the client send one of twenty messages again, as if it were not sure of it."""
    publisher: Any = workshop.app.publisher
    publish_many = publisher.publish_many

    def doubling(publications: list[Any], **options: Any) -> Any:
        again = [each for each in publications if rng.random() < 0.05]
        return publish_many([*publications, *again], **options)

    publisher.publish_many = doubling


def send_chords(workshop: Workshop, count: int, rng: random.Random) -> dict[str, str]:
    """Send chords; returns what is to be called for each, by the id of its body."""
    part, wanted = workshop.task("part"), {}
    errback = workshop.task("broken").s().set(queue=BODIES)
    for number in range(count):
        failing = rng.randrange(SIZE) if number % 10 == 0 else None
        header = [
            part.s(index, "fails" if index == failing else "retries" if rng.random() < 0.1 else "returns")
            for index in range(SIZE)
        ]
        body = workshop.task("whole").s().set(queue=BODIES).on_error(errback)
        wanted[chord(header, body).apply_async().id] = "whole" if failing is None else "broken"
    return wanted


@pytest.mark.parametrize(
    ("store_urls", "count", "kills"),
    [
        pytest.param("redis", 20, 4, marks=sample),
        pytest.param("sqlite", 10, 2, marks=sample),
        pytest.param("redis", 1000, 200, marks=full),
        pytest.param("postgresql", 100, 30, marks=full),
        pytest.param("sqlite", 100, 30, marks=full),
    ],
    indirect=["store_urls"],
)
@pytest.mark.timeout(3600)
def test_body_or_errback_of_each_chord_is_called_once(
    store_urls: tuple[str, str], make_workshop: Callable[..., Workshop], count: int, kills: int
) -> None:
    workshop = make_workshop(store_urls[0], result_backend=store_urls[1], task_max_deliveries=None)
    rng = random.Random(count)
    publish_twice(workshop, rng)
    chaos = Chaos(workshop, rng)
    wanted = send_chords(workshop, count, rng)
    share = count * SIZE // (kills + 1)
    for number in range(kills):
        goal = chaos.progress() + rng.randrange(share)
        wait_until(partial(chaos.has_come_to, goal, wanted), interval=0.05, what="the next kill is due")
        if number % 8 == 3:
            chaos.kill_worker()
        else:
            chaos.kill_child()
    wait_until(
        lambda: not open_ids(workshop, wanted), timeout=10 * PATIENCE, interval=0.05, what="every chord was concluded"
    )
    wait_until(lambda: messages_left(workshop, "celery", BODIES) == 0, what="nothing is left in the broker")
    wait_until(lambda: chords_due(workshop) == 0, what="no chord is to be concluded")
    assert chaos.quiet.alive
    called = [(record["id"], record["what"]) for record in workshop.ledger.records()]
    assert sorted(called) == sorted(wanted.items())
    assert all(record["values"] == list(range(SIZE)) for record in workshop.ledger.records("whole"))


def open_ids(workshop: Workshop, wanted: dict[str, str]) -> set[str]:
    """Bodies that were neither called nor told to have failed."""
    return wanted.keys() - {record["id"] for record in workshop.ledger.records()}
