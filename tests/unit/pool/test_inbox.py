"""A job is begun or recalled, never both."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from celeriac.execution.job import Job
from celeriac.pool.frames import FrameSocket, encode_frame
from celeriac.pool.inbox import PERMIT, Closed, Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator


class Coordinator:
    """The other end of an inbox."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.permits_in, self.permits_out = os.pipe()
        os.set_blocking(self.permits_in, False)
        self.theirs = theirs
        self.inbox = Inbox(FrameSocket(theirs), self.permits_in)

    def submit(self, *seqs: int) -> None:
        jobs = [Job(seq, {"task": "t"}, {}, b"", "", "", {}) for seq in seqs]
        self.sock.sendall(encode_frame([job.pack() for job in jobs]))
        for seq in seqs:
            os.write(self.permits_out, PERMIT.pack(seq))

    def recall(self, count: int) -> list[int]:
        data = os.read(self.permits_in, count * PERMIT.size)
        return [seq for (seq,) in PERMIT.iter_unpack(data)]

    def close(self) -> None:
        self.sock.close()
        self.theirs.close()
        os.close(self.permits_in)
        if self.permits_out >= 0:
            os.close(self.permits_out)


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    made = Coordinator()
    yield made
    made.close()


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
