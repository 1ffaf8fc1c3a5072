"""Chords and results in Cassandra while one request in twelve times out, and may have been done all the same."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from celeriac.backend import BackendOptions, ChordPart, ChordProgress, ResultRecord, open_backend
from celeriac.backend.kv.cassandra import access
from celeriac.exceptions import OperationalError
from tests.support.emulators.cassandra import Answer, Fault, Server, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.backend import ResultBackend

T = TypeVar("T")
WORKERS = 3
SETTINGS = {"cassandra_servers": ["there"], "cassandra_keyspace": "ks", "cassandra_table": "tasks"}


class FaultyServer(Server):
    """Requests time out by chance."""

    share = 0.0
    faults_met = 0

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = Random(seed)

    def execute(
        self, statement: str | Statement, parameters: Sequence[Any] = (), timeout: float | None = None
    ) -> Answer:
        # Other threads come in between.
        time.sleep(0)
        return super().execute(statement, parameters, timeout)

    def _fault(self, statement: Statement) -> Fault | None:
        if self._random.random() >= self.share:
            return None
        self.faults_met += 1
        return self._random.choice(list(Fault))


def open_at(server: Server, monkeypatch: pytest.MonkeyPatch) -> ResultBackend:
    monkeypatch.setattr(access, "Cluster", server.cluster)
    backend = open_backend("cassandra://", BackendOptions(settings=SETTINGS))
    backend.load_many(["t"])
    return backend


def repeated(call: Callable[[], T]) -> T:
    """As workers do it."""
    while True:
        try:
            return call()
        except OperationalError:
            continue


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(work, range(WORKERS)))


@pytest.mark.parametrize("size", [1, 64, 100])
def test_chords_are_complete_once(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    server = FaultyServer(seed=size)
    backend = open_at(server, monkeypatch)
    server.share = 1 / 12

    def add(index: int) -> ChordProgress:
        parts = [ChordPart(f"t{index}", index, "SUCCESS", index)]
        progress = repeated(lambda: backend.add_chord_parts("c", parts, None, lease=0.0))
        if progress is ChordProgress.BODY_WANTED:
            progress = repeated(lambda: backend.add_chord_parts("c", parts, b"body", lease=0.0))
        return progress

    def work(worker: int) -> int:
        # Some of them are delivered twice.
        indexes = [index for index in range(worker, size, WORKERS) for _ in range(1 + (index % 5 == 0))]
        return [add(index) for index in indexes].count(ChordProgress.COMPLETE)

    repeated(lambda: backend.open_chord("c", size))
    completed = sum(in_threads(work))
    server.share = 0.0
    # Who completed it may have been told of a failure instead: then it is left to others.
    left = backend.take_chords(lease=0.0)
    assert completed <= 1
    assert completed or left == [("c", b"body")]
    assert [part.result for part in backend.load_chord("c") or ()] == list(range(size))
    server.share = 1 / 12
    repeated(lambda: backend.close_chord("c"))
    server.share = 0.0
    assert (backend.load_chord("c"), backend.take_chords(lease=0.0)) == (None, [])


@pytest.mark.parametrize("seed", range(3))
def test_successes_stay_and_celery_reads_what_is_read_here(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    server, ids = FaultyServer(seed), [f"t{number}" for number in range(20)]
    backend = open_at(server, monkeypatch)
    server.share = 1 / 12

    def work(worker: int) -> set[str]:
        random, done = Random(seed * WORKERS + worker), set()
        for task_id in ids:
            state = random.choice(["STARTED", "RETRY", "FAILURE", "SUCCESS"])
            # All in one millisecond.
            record = ResultRecord(task_id, state, date_done="2026-01-02T03:04:05.678Z")
            repeated(partial(backend.store_many, [record]))
            if state == "SUCCESS":
                done.add(task_id)
        return done

    succeeded = set().union(*in_threads(work))
    server.share = 0.0
    found = backend.load_many(ids)
    assert {task_id for task_id, record in found.items() if record.status == "SUCCESS"} == succeeded
    assert server.faults_met
    table = server.tables["tasks"]
    for task_id in ids:
        assert table.rows(task_id)[0][1].get("status") == found[task_id].status
