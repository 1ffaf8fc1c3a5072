"""A job is begun or recalled, never both."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from celeriac.pool.inbox import PERMIT, Closed

if TYPE_CHECKING:
    from tests.unit.pool.conftest import Coordinator


def take(coordinator: Coordinator) -> int | None:
    job = coordinator.inbox.take(block=False)
    return None if job is None else job.seq


def test_jobs_come_in_order(coordinator: Coordinator) -> None:
    coordinator.submit(1, 2)
    coordinator.submit(3)
    assert [take(coordinator) for _ in range(4)] == [1, 2, 3, None]


def test_recalled_jobs_are_skipped(coordinator: Coordinator) -> None:
    coordinator.submit(1, 2, 3)
    assert take(coordinator) == 1
    assert coordinator.recall(1) == [2]
    coordinator.submit(4)
    assert [take(coordinator) for _ in range(3)] == [3, 4, None]


def test_a_permit_of_zero_closes_after_the_jobs_before_it(coordinator: Coordinator) -> None:
    coordinator.submit(1)
    os.write(coordinator.permits_out, PERMIT.pack(0))
    assert take(coordinator) == 1
    with pytest.raises(Closed):
        take(coordinator)


def test_the_end_of_the_coordinator_closes(coordinator: Coordinator) -> None:
    os.close(coordinator.permits_out)
    coordinator.permits_out = -1
    with pytest.raises(Closed):
        take(coordinator)
