"""The coordinator's end of the inbox of a child."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from celeriac.execution.job import Job
from celeriac.pool.frames import FrameSocket, encode_frame
from celeriac.pool.inbox import PERMIT, Inbox

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
