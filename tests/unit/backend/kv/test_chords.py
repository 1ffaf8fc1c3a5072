"""Chords over a store in a dict: workers that die or meet at each step, and what a store has lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.backend import BackendOptions, ChordPart, ChordProgress
from celeriac.backend.kv.backend import JoiningKeyValueBackend
from celeriac.backend.kv.layout import BLOCK, Shape
from celeriac.exceptions import BackendGetMetaError, BackendStoreError, OperationalError
from tests.unit.backend.kv.dict_driver import DictDriver

if TYPE_CHECKING:
    from celeriac.backend.kv.driver import Entry

RECORDED, BODY_WANTED, COMPLETE = ChordProgress.RECORDED, ChordProgress.BODY_WANTED, ChordProgress.COMPLETE
#: Three blocks.
SIZE = 2 * BLOCK + 5


class Died(BaseException):
    """A worker was killed."""


@pytest.fixture
def driver() -> DictDriver:
    return DictDriver()


@pytest.fixture
def backend(driver: DictDriver) -> JoiningKeyValueBackend:
    return JoiningKeyValueBackend(driver, BackendOptions())


def part(index: int) -> ChordPart:
    return ChordPart(f"t{index}", index, "SUCCESS", index)


def added(number: int) -> ChordPart:
    return ChordPart(f"added{number}", None, "SUCCESS", -number)


def add(backend: JoiningKeyValueBackend, *parts: ChordPart, lease: float = 0.0) -> ChordProgress:
    """As a worker adds parts."""
    progress = backend.add_chord_parts("c", parts, None, lease=lease)
    if progress is BODY_WANTED:
        progress = backend.add_chord_parts("c", parts, b"body", lease=lease)
        assert progress is not BODY_WANTED
    return progress


def open_but_for(backend: JoiningKeyValueBackend, *missing: ChordPart, grown: int = 0) -> None:
    """A chord that lacks some parts."""
    backend.open_chord("c", SIZE)
    if grown:
        backend.grow_chord("c", grown)
    there = [part(index) for index in range(SIZE)] + [added(number) for number in range(grown)]
    assert backend.add_chord_parts("c", [each for each in there if each not in missing], None, lease=0) is RECORDED


def at_write(driver: DictDriver, number: int, action: object) -> None:
    """Let something happen before the nth write from now."""
    left = number

    def before(entry: Entry) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            assert callable(action)
            action()

    driver.before_write = before


def die() -> None:
    raise Died


def writes_of(driver: DictDriver, backend: JoiningKeyValueBackend, *parts: ChordPart) -> int:
    """How many writes it takes to add the last parts."""
    count = 0

    def counted(entry: Entry) -> None:
        nonlocal count
        count += 1

    driver.before_write = counted
    assert add(backend, *parts) is COMPLETE
    driver.before_write = lambda entry: None
    return count


@pytest.mark.parametrize("last", [part(70), added(1)], ids=["part", "added"])
def test_a_worker_that_dies_at_any_write_loses_no_body(last: ChordPart) -> None:
    number = 0
    while True:
        number += 1
        driver = DictDriver()
        backend = JoiningKeyValueBackend(driver, BackendOptions())
        open_but_for(backend, last, grown=2)
        at_write(driver, number, die)
        try:
            progress = add(backend, last)
        except Died:
            pass
        else:
            assert progress is COMPLETE
            break
        driver.before_write = lambda entry: None
        if dict(backend.take_chords(lease=60)) == {"c": b"body"}:
            # Counted by the one that died.
            assert add(backend, last) is RECORDED
        else:
            assert add(backend, last) is COMPLETE
        loaded = backend.load_chord("c")
        assert loaded is not None
        assert [each.task_id for each in loaded] == [f"t{index}" for index in range(SIZE)] + ["added0", "added1"]
        backend.close_chord("c")
        assert backend.take_chords(lease=0) == []
    assert number > 5


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [(part(70), part(71)), (part(0), part(3)), (added(0), added(1)), (part(70), added(1)), (added(1), part(70)),
     (part(70), part(70)), (added(1), added(1))],
    ids=["two blocks", "one block", "both added", "added later", "added sooner", "the same", "the same added"],
)  # fmt: skip
def test_of_two_workers_that_meet_at_any_write_one_completes(mine: ChordPart, theirs: ChordPart) -> None:
    number = 0
    while True:
        number += 1
        driver = DictDriver()
        backend = JoiningKeyValueBackend(driver, BackendOptions())
        open_but_for(backend, mine, theirs, grown=2)
        told: list[ChordProgress] = []
        at_write(driver, number, lambda: told.append(add(backend, theirs, lease=60)))  # noqa: B023 - called in here
        told.append(add(backend, mine, lease=60))
        if len(told) == 1:
            break
        assert sorted(each.name for each in told) == ["COMPLETE", "RECORDED"]
        loaded = backend.load_chord("c")
        assert loaded is not None
        assert len(loaded) == SIZE + 2
        assert backend.take_chords(lease=60) == []
        assert driver.kept["celeriac-chord-c.body"].data == b"body"
    assert number > 2


def test_added_parts_go_on_several_pages(backend: JoiningKeyValueBackend, driver: DictDriver) -> None:
    count = 10 * BLOCK + 7
    backend.open_chord("c", 1)
    backend.grow_chord("c", count)
    for start in range(0, count, 100):
        parts = [added(number) for number in range(max(start - 10, 0), min(start + 100, count))]
        assert add(backend, *parts) is RECORDED
    assert add(backend, part(0)) is COMPLETE
    loaded = backend.load_chord("c")
    assert loaded is not None
    assert [each.task_id for each in loaded] == ["t0", *(f"added{number}" for number in range(count))]
    backend.close_chord("c")
    assert all(key.endswith(".tally") or "celeriac-due" in key for key in driver.kept)


def test_a_part_that_the_store_dropped_fails_the_chord(backend: JoiningKeyValueBackend, driver: DictDriver) -> None:
    backend.open_chord("c", 2)
    add(backend, part(0))
    driver.delete(["celeriac-chord-c.part-0"])
    assert add(backend, part(1)) is COMPLETE
    loaded = backend.load_chord("c")
    assert loaded is not None
    assert [each.state for each in loaded] == ["FAILURE", "SUCCESS"]
    assert isinstance(loaded[0].result, BackendGetMetaError)
    assert "not in dict:// any more" in str(loaded[0].result)


def test_a_chord_whose_count_the_store_dropped_is_in_the_log(
    backend: JoiningKeyValueBackend, driver: DictDriver, caplog: pytest.LogCaptureFixture
) -> None:
    backend.open_chord("c", 2)
    driver.delete(["celeriac-chord-c.block-0-of-1"])
    assert add(backend, part(0)) is RECORDED
    assert "Chord c will never be complete" in caplog.text


def test_a_body_that_the_store_dropped_is_in_the_log(
    backend: JoiningKeyValueBackend, driver: DictDriver, caplog: pytest.LogCaptureFixture
) -> None:
    backend.open_chord("c", 1)
    assert add(backend, part(0)) is COMPLETE
    driver.delete(["celeriac-chord-c.body"])
    assert backend.take_chords(lease=0) == []
    assert "has lost its body" in caplog.text


def test_a_body_that_the_store_refuses_is_sent_without(
    backend: JoiningKeyValueBackend, driver: DictDriver, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(entry: Entry) -> None:
        if entry.key.endswith(".body"):
            raise BackendStoreError("too large")

    backend.open_chord("c", 1)
    driver.before_write = refuse
    assert add(backend, part(0)) is COMPLETE
    assert "The body of chord c is lost if the worker dies before it is sent: too large" in caplog.text
    assert backend.take_chords(lease=0) == []


def test_a_chord_opened_again_with_another_size_is_counted_anew(backend: JoiningKeyValueBackend) -> None:
    backend.open_chord("c", 3)
    assert add(backend, part(0)) is RECORDED
    other = JoiningKeyValueBackend(backend._driver, BackendOptions())
    other.close_chord("c")
    other.open_chord("c", SIZE)
    assert add(backend, *map(part, range(SIZE - 1))) is RECORDED
    assert add(backend, part(SIZE - 1)) is COMPLETE


def test_a_count_that_is_outrun_for_ever_is_an_error(
    backend: JoiningKeyValueBackend, driver: DictDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.backend.kv.values._LONGEST_PAUSE", 0)
    backend.open_chord("c", 2)
    # A store in which whatever is read is another one at once.
    monkeypatch.setattr(driver, "write", lambda entry, expecting=None: False)
    with pytest.raises(OperationalError, match=r"parts of chord c in dict:// were not counted: others changed"):
        add(backend, part(0))


def test_parts_are_shared_out_among_blocks() -> None:
    shape = Shape(10 * BLOCK)
    assert len({shape.place(index)[0] for index in range(8)}) == 1
    assert len({shape.place(index)[0] for index in range(80)}) == shape.blocks == 10
    for size in (1, 7, BLOCK, BLOCK + 1, 1000, 1003):
        shape = Shape(size)
        places = [shape.place(index) for index in range(size)]
        assert len(set(places)) == size
        assert max(bit for _, bit in places) < 1 << BLOCK
        for block in range(shape.blocks):
            assert sum(bit for number, bit in places if number == block) == shape.whole(block)
