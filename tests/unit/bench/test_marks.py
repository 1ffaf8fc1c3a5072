"""Marks in a shared file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.marks import Marks
from bench.run import rate, stalled

if TYPE_CHECKING:
    from pathlib import Path


def test_marks_of_one_mapping_are_seen_by_another(tmp_path: Path) -> None:
    reader = Marks.create(tmp_path / "marks", 3)
    writer = Marks(tmp_path / "marks")

    writer.leave(1)

    assert reader.missing(0, 3) == 2
    assert reader.times(1, 2)[0] > 0


def test_task_that_ran_twice_keeps_its_first_mark_and_is_counted(tmp_path: Path) -> None:
    marks = Marks.create(tmp_path / "marks", 1)
    marks.leave(0)
    first = marks.times(0, 1)

    marks.leave(0)

    assert marks.times(0, 1) == first
    assert marks.repeated == 1


def test_rate_leaves_out_the_first_task() -> None:
    assert rate([1_000_000_000, 2_000_000_000, 3_000_000_000]) == 1.0


def test_only_pauses_above_a_second_count_as_stalls() -> None:
    assert stalled([0, 10_000_000, 900_000_000, 3_400_000_000]) == 2.5
