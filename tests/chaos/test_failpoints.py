"""A worker that dies at each step between claim and acknowledgement loses nothing and repeats little."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from celeriac import chain, chord
from celeriac.worker.failpoints import PLACES
from tests.support import PATIENCE, wait_until
from tests.support.ledger import check_at_least_once, check_at_most_once, repeats
from tests.support.leftovers import chords_due, messages_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from celeriac.result import AsyncResult
    from tests.support.worker import RunningWorker, Workshop

IN_CHILD = frozenset({"started", "returned", "stored", "counted", "relayed", "joined"})
OF_CHORDS = ("counted", "joined")
OF_CHAINS = ("relayed",)
OF_TASKS = [label for label in PLACES if label not in (*OF_CHORDS, *OF_CHAINS)]
CELLS = [pytest.param(label, 1, marks=pytest.mark.chaos("sample")) for label in OF_TASKS] + [
    pytest.param(label, nth, marks=pytest.mark.chaos("full")) for label in OF_TASKS for nth in (2, 3, 7)
]


def crash(workshop: Workshop, label: str, nth: int, path: Path) -> RunningWorker:
    """A worker that works after one of its processes died at a place; publish before."""
    env = {"CELERIAC_CRASH_AT": f"{label}:{nth}", "CELERIAC_CRASH_COUNT": str(path)}
    # One message for each slot at a time: a busy machine may take the whole queue in fewer batches than are asked for.
    worker = workshop.start(env=env, wait=False, prefetch_multiplier=1)
    if label in IN_CHILD:
        wait_until(lambda: "exited with" in worker.log, what="the child died")
        return worker
    worker.wait()
    assert worker.process.returncode == -9, worker.log[-2000:]
    return workshop.start()


def publish(workshop: Workshop, name: str, count: int) -> list[str]:
    return [workshop.task(name).delay().id for _ in range(count)]


@pytest.mark.parametrize(("label", "nth"), CELLS)
def test_late_tasks_survive_a_death_at_this_place(
    redis_url: str, make_workshop: Callable[..., Workshop], tmp_path: Path, label: str, nth: int
) -> None:
    workshop = make_workshop(redis_url, result_backend=redis_url)
    ids = publish(workshop, "work", 30)
    crash(workshop, label, nth, tmp_path / "passes")
    wait_until(lambda: set(ids) <= set(workshop.ledger.by_id("end")), what="every task ran")
    wait_until(lambda: workshop.depth() == 0, what="the queue is empty")
    check_at_least_once(workshop.ledger, ids, max_starts=2)
    assert repeats(workshop.ledger) <= 30
    assert all(workshop.app.AsyncResult(task_id).get(timeout=PATIENCE) == task_id for task_id in ids)


@pytest.mark.parametrize(("label", "nth"), CELLS)
def test_early_tasks_never_run_twice_after_a_death_at_this_place(
    redis_url: str, make_workshop: Callable[..., Workshop], tmp_path: Path, label: str, nth: int
) -> None:
    workshop = make_workshop(redis_url, result_backend=redis_url)
    ids = publish(workshop, "early", 30)
    crash(workshop, label, nth, tmp_path / "passes")
    wait_until(lambda: messages_left(workshop) == 0, what="nothing is left in the broker")
    last = workshop.task("early").delay()
    last.get(timeout=PATIENCE)
    check_at_most_once(workshop.ledger, [*ids, last.id])


@pytest.mark.parametrize("name", ["work", "early"])
@pytest.mark.parametrize(
    ("label", "nth"),
    [
        *(pytest.param(label, 2, marks=pytest.mark.chaos("sample")) for label in OF_CHAINS),
        *(pytest.param(label, nth, marks=pytest.mark.chaos("full")) for label in OF_CHAINS for nth in (1, 5)),
        *(pytest.param(label, 3, marks=pytest.mark.chaos("full")) for label in OF_TASKS),
    ],
)
def test_chain_survives_a_death_at_this_place(
    redis_url: str, make_workshop: Callable[..., Workshop], tmp_path: Path, label: str, nth: int, name: str
) -> None:
    workshop = make_workshop(redis_url, result_backend=redis_url)
    result = chain(workshop.task(name).si() for _ in range(10)).apply_async()
    steps = [each.id for each in [result, *_before(result)]]
    crash(workshop, label, nth, tmp_path / "passes")
    if name == "work" or label in OF_CHAINS:
        # The next step was in the broker.
        wait_until(lambda: set(steps) <= set(workshop.ledger.by_id("end")), what="every step ran")
        # The step that ran, and those before it whose acknowledgements were under way, run once more with what follows.
        check_at_least_once(workshop.ledger, steps, max_starts=5)
    wait_until(lambda: messages_left(workshop) == 0, what="nothing is left in the broker")
    if name == "early":
        last = workshop.task("early").delay()
        last.get(timeout=PATIENCE)
        check_at_most_once(workshop.ledger, [*steps, last.id])


def _before(result: AsyncResult[Any]) -> Iterator[AsyncResult[Any]]:
    while (parent := result.parent) is not None:
        yield parent
        result = parent


@pytest.mark.parametrize("name", ["work", "early", "fail"])
@pytest.mark.parametrize(
    ("store_urls", "label", "nth"),
    [
        *(pytest.param("redis", label, 1, marks=pytest.mark.chaos("sample")) for label in OF_CHORDS),
        *(pytest.param("redis", label, 2, marks=pytest.mark.chaos("full")) for label in OF_CHORDS),
        *(pytest.param("redis", label, 1, marks=pytest.mark.chaos("full")) for label in OF_TASKS),
        pytest.param("file", "counted", 1, marks=pytest.mark.chaos("sample")),
        pytest.param("file", "joined", 1, marks=pytest.mark.chaos("full")),
        pytest.param("memcached", "counted", 1, marks=pytest.mark.chaos("sample")),
        pytest.param("memcached", "joined", 1, marks=pytest.mark.chaos("full")),
        *(pytest.param("sqlite", label, 1, marks=pytest.mark.chaos("sample")) for label in OF_CHORDS),
        *(pytest.param("postgresql", label, 1, marks=pytest.mark.chaos("full")) for label in OF_CHORDS),
    ],
    indirect=["store_urls"],
)
def test_body_or_errback_of_a_chord_is_called_once_after_a_death_at_this_place(
    store_urls: tuple[str, str],
    make_workshop: Callable[..., Workshop],
    tmp_path: Path,
    label: str,
    nth: int,
    name: str,
) -> None:
    workshop = make_workshop(store_urls[0], result_backend=store_urls[1])
    result = None
    for _ in range(nth + 1):
        body = workshop.task("note").s().on_error(workshop.task("errback_published").s())
        result = chord([workshop.task(name).s()], body).apply_async()
    assert result is not None
    crash(workshop, label, nth, tmp_path / "passes")
    ledger, what = workshop.ledger, "errback published" if name == "fail" else "note"
    # An early-acknowledged task may be lost with its worker, or fail with its child, unless it was counted before.
    survives = name != "early" or label in OF_CHORDS
    if survives:
        wait_until(lambda: ledger.count(what) >= nth + 1, what="every chord was concluded")
    wait_until(lambda: messages_left(workshop) == 0, what="nothing is left in the broker")
    wait_until(lambda: chords_due(workshop) == 0, what="all are closed")
    workshop.task("work").delay().get(timeout=PATIENCE)
    # What a dying worker had begun runs again, delivered anew; nothing is published twice.
    published = ledger.by_id(what, redelivered=False)
    assert not published or max(published.values()) == 1
    if survives:
        assert len(ledger.by_id(what)) == nth + 1
    else:
        assert len(ledger.by_id("note")) + len(ledger.by_id("errback published")) <= nth + 1
