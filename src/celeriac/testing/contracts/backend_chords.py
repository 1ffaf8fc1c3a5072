"""The contract of result backends that join chords."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from celeriac.backend import ChordPart, ChordProgress, ResultBackend
from celeriac.testing.contracts.backend import BackendUnderTest, new_id
from celeriac.testing.contracts.broker_subject import PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds of a lease that does not run out during a test.
LONG = 3600.0
RECORDED, BODY_WANTED, COMPLETE = ChordProgress.RECORDED, ChordProgress.BODY_WANTED, ChordProgress.COMPLETE


def parts_of(*indexes: int, state: str = "SUCCESS", prefix: str = "t") -> list[ChordPart]:
    """Parts whose tasks and results are numbered."""
    return [ChordPart(f"{prefix}{index}", index, state, {"value": index}) for index in indexes]


class ChordContract:
    """What a backend whose capabilities include chords does. Subclasses provide the fixture `subject`."""

    @pytest.fixture
    def subject(self) -> BackendUnderTest:
        """The backend to test."""
        raise NotImplementedError("a subclass of ChordContract provides the fixture `subject`")

    @pytest.fixture
    def backend(self, subject: BackendUnderTest) -> Iterator[ResultBackend]:
        """An open backend."""
        backend = subject.backend()
        assert backend.capabilities.chords
        yield backend
        backend.close()

    @pytest.fixture
    def chord(self, backend: ResultBackend) -> str:
        """An open chord of three parts."""
        chord_id = new_id()
        backend.open_chord(chord_id, 3)
        return chord_id

    def test_the_call_that_adds_the_last_part_completes_it(self, backend: ResultBackend, chord: str) -> None:
        assert backend.add_chord_parts(chord, parts_of(2), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(0), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(1), b"body", lease=LONG) is COMPLETE

    def test_parts_come_in_order_of_their_index(self, backend: ResultBackend, chord: str) -> None:
        backend.grow_chord(chord, 1)
        late = ChordPart("added", None, "SUCCESS", "last")
        assert backend.add_chord_parts(chord, [late, *parts_of(2, 0, 1)], b"body", lease=LONG) is COMPLETE
        loaded = backend.load_chord(chord)
        assert loaded is not None
        assert [part.task_id for part in loaded] == ["t0", "t1", "t2", "added"]
        assert [part.result for part in loaded] == [{"value": 0}, {"value": 1}, {"value": 2}, "last"]

    def test_failures_are_exceptions_again(self, backend: ResultBackend, chord: str) -> None:
        failed = ChordPart("failed", 0, "FAILURE", ValueError("bad", 3))
        backend.add_chord_parts(chord, [failed, *parts_of(1, 2)], b"body", lease=LONG)
        loaded = backend.load_chord(chord)
        assert loaded is not None
        assert (loaded[0].task_id, loaded[0].state) == ("failed", "FAILURE")
        assert isinstance(loaded[0].result, ValueError)
        assert loaded[0].result.args == ("bad", 3)

    def test_a_task_counts_once_and_its_first_end_stays(self, backend: ResultBackend, chord: str) -> None:
        for result in ("first", "second", "third", "fourth"):
            again = ChordPart("t0", 0, "SUCCESS", result)
            assert backend.add_chord_parts(chord, [again, again], b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG) is COMPLETE
        loaded = backend.load_chord(chord)
        assert loaded is not None
        assert [part.result for part in loaded] == ["first", {"value": 1}, {"value": 2}]

    def test_the_body_is_wanted_with_parts_that_may_be_the_last(self, backend: ResultBackend, chord: str) -> None:
        assert backend.add_chord_parts(chord, parts_of(0), None, lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(1), None, lease=LONG) is RECORDED
        for _ in range(2):
            assert backend.add_chord_parts(chord, parts_of(2), None, lease=0) is BODY_WANTED
        loaded = backend.load_chord(chord)
        assert loaded is not None
        assert [part.task_id for part in loaded] == ["t0", "t1"]
        assert backend.take_chords(lease=LONG) == []
        assert backend.add_chord_parts(chord, parts_of(2), b"body", lease=LONG) is COMPLETE
        assert backend.add_chord_parts(chord, parts_of(2), None, lease=LONG) is RECORDED

    def test_the_body_is_wanted_for_many_parts_at_once(self, backend: ResultBackend, chord: str) -> None:
        backend.grow_chord(chord, 1)
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), None, lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(3), None, lease=LONG) is BODY_WANTED
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2, 3), None, lease=LONG) is BODY_WANTED
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2, 3), b"body", lease=LONG) is COMPLETE

    def test_a_repeated_part_completes_nothing_even_with_a_body(self, backend: ResultBackend, chord: str) -> None:
        assert backend.add_chord_parts(chord, parts_of(0, 1), None, lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(1), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(2), b"body", lease=LONG) is COMPLETE

    def test_no_body_is_wanted_by_chords_that_are_not_open(self, backend: ResultBackend, chord: str) -> None:
        assert backend.add_chord_parts(new_id(), parts_of(0), None, lease=LONG) is RECORDED
        backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG)
        assert backend.add_chord_parts(chord, parts_of(3), None, lease=LONG) is RECORDED
        backend.close_chord(chord)
        assert backend.add_chord_parts(chord, parts_of(4), None, lease=LONG) is RECORDED

    def test_a_complete_chord_is_not_completed_again(self, backend: ResultBackend, chord: str) -> None:
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG) is COMPLETE
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(3), b"body", lease=LONG) is RECORDED

    def test_a_chord_that_grew_waits_for_all(self, backend: ResultBackend, chord: str) -> None:
        backend.grow_chord(chord, 2)
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(3), b"body", lease=LONG) is RECORDED
        assert backend.add_chord_parts(chord, parts_of(4), b"body", lease=LONG) is COMPLETE

    def test_chords_that_were_never_opened_are_not_completed(self, backend: ResultBackend) -> None:
        chord = new_id()
        assert backend.load_chord(chord) is None
        assert backend.add_chord_parts(chord, parts_of(0), b"body", lease=0) is RECORDED
        assert backend.take_chords(lease=LONG) == []

    def test_closed_chords_are_left_alone(self, backend: ResultBackend, chord: str) -> None:
        backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=0)
        backend.close_chord(chord)
        assert backend.load_chord(chord) is None
        assert chord not in dict(backend.take_chords(lease=LONG))
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"body", lease=LONG) is RECORDED
        assert backend.load_chord(chord) is None

    def test_a_chord_that_is_not_concluded_is_taken_over_after_its_lease(
        self, backend: ResultBackend, chord: str
    ) -> None:
        other = new_id()
        backend.open_chord(other, 1)
        assert backend.add_chord_parts(other, parts_of(0), b"other", lease=LONG) is COMPLETE
        assert backend.add_chord_parts(chord, parts_of(0, 1, 2), b"\x00body\xff", lease=0) is COMPLETE
        taken: dict[str, bytes] = until(lambda: dict(backend.take_chords(lease=LONG)), "it is there to take")
        assert taken == {chord: b"\x00body\xff"}
        assert backend.take_chords(lease=LONG) == []
        backend.close_chord(chord)
        backend.close_chord(other)

    def test_the_first_claim_holds(self, backend: ResultBackend) -> None:
        name = new_id()
        assert backend.claim(name, "mine") == "mine"
        assert backend.claim(name, "theirs") == "mine"
        assert backend.claim(name, "mine") == "mine"
        assert backend.claim(f"{name}/2", "theirs") == "theirs"

    def test_the_rest_of_a_workflow_is_given_back_as_it_was(
        self, subject: BackendUnderTest, backend: ResultBackend
    ) -> None:
        assert backend.capabilities.graphs
        first, second, large = new_id(), new_id(), b"large" * (subject.largest // 10)
        backend.keep_graphs({first: b"\x00first\xff", second: large})
        assert backend.load_graph(first) == b"\x00first\xff"
        assert backend.load_graph(first) == b"\x00first\xff"
        assert backend.load_graph(second) == large
        assert backend.load_graph(new_id()) is None

    def test_the_rest_of_a_workflow_goes_with_time(self, subject: BackendUnderTest) -> None:
        settings = {**subject.options.get("settings", {}), "task_graph_expires": 1.0}
        backend = subject.backend(expires=0.5, settings=settings)
        graph = new_id()
        backend.keep_graphs({graph: b"graph"})
        until(lambda: backend.load_graph(graph) is None, "the graph expires")
        backend.close()

    def test_chords_go_with_time(self, subject: BackendUnderTest) -> None:
        settings = {**subject.options.get("settings", {}), "result_chord_expires": 1.0}
        backend, chord = subject.backend(settings=settings), new_id()
        backend.open_chord(chord, 2)
        backend.add_chord_parts(chord, parts_of(0), None, lease=LONG)

        def is_gone() -> bool:
            backend.sweep()
            return backend.load_chord(chord) is None

        until(is_gone, "the chord expires")
        assert backend.add_chord_parts(chord, parts_of(1), b"body", lease=LONG) is RECORDED
        backend.close()

    def test_of_many_at_once_one_completes_it(self, subject: BackendUnderTest) -> None:
        count, threads = 40, 4
        chord, start = new_id(), threading.Barrier(threads)
        backend = subject.backend()
        backend.open_chord(chord, count)

        def add_one(index: int) -> ChordProgress:
            told = backend.add_chord_parts(chord, parts_of(index), None, lease=LONG)
            if told is BODY_WANTED:
                told = backend.add_chord_parts(chord, parts_of(index), b"body", lease=LONG)
            return told

        def add(number: int) -> list[ChordProgress]:
            # Each part is added by two of the threads.
            start.wait(PATIENCE)
            mine = [index for index in range(count) if number in (index % threads, (index + 1) % threads)]
            return [add_one(index) for index in mine]

        with ThreadPoolExecutor(threads) as pool:
            told = [each for found in pool.map(add, range(threads)) for each in found]
        assert told.count(COMPLETE) == 1
        loaded: Any = backend.load_chord(chord)
        assert [part.task_id for part in loaded] == [f"t{index}" for index in range(count)]
        backend.close_chord(chord)
        backend.close()

    def test_a_large_chord(self, subject: BackendUnderTest, backend: ResultBackend) -> None:
        """Ten thousand parts, and fewer for emulators that take milliseconds for each."""
        chord, size = new_id(), subject.chord
        backend.open_chord(chord, size)
        batches = [parts_of(*range(start, start + size // 10)) for start in range(0, size, size // 10)]
        told = [backend.add_chord_parts(chord, batch, b"body", lease=LONG) for batch in batches]
        assert told == [RECORDED] * 9 + [COMPLETE]
        loaded = backend.load_chord(chord)
        assert loaded is not None
        assert [part.result["value"] for part in loaded] == list(range(size))
        backend.close_chord(chord)
