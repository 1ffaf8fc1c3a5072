"""A child's queue of jobs, from which the coordinator can take back what has not begun.

Jobs travel as frames over a socket.  The *right to begin* each of them travels apart, as an eight-byte number in a
pipe that both sides can read: a child takes one number before it begins that job, and the coordinator takes numbers
back by reading the same pipe.  The kernel decides who gets each, so a job is begun or recalled, never both; and
after a child has died, the numbers left in its pipe tell exactly which jobs it had not begun.
"""

from __future__ import annotations

import os
import select
import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from celeriac.execution.job import Job
from celeriac.utils.polling import make_poll

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.broker.base import RelayAddress
    from celeriac.pool.frames import FrameSocket

PERMIT: Final = struct.Struct("!Q")
#: Kind of the frame that tells where to relay messages to; others that are no jobs are orders about one.
ADDRESS: Final = "address"


class Closed(Exception):
    """No more jobs will come: the coordinator is gone."""


class Retired(Closed):
    """No more jobs will come: the coordinator asked the child to leave."""


class Inbox:
    """The child's end.

    Args:
        frames: Socket that carries jobs.
        permits: Reading end of the pipe of permits, non-blocking.

    Attributes:
        permits: The same; readable when there may be something to take.
        address: Where the worker takes messages that are relayed to it.
        tags: Of relayed messages, by the numbers of their jobs, which have begun.
    """

    def __init__(self, frames: FrameSocket, permits: int) -> None:
        self._frames = frames
        self.permits = permits
        self.address: RelayAddress | None = None
        self.tags: dict[int, bytes] = {}
        self._jobs: deque[Job] = deque()
        self._orders: list[tuple[int, int]] = []
        # What ended the last batch of `take_many`.
        self._closed: Closed | None = None
        self._poll = make_poll()
        self._poll.register(permits, select.POLLIN)
        #: Waits until more frames have been received; replaced where others receive them.
        self.await_frames: Callable[[], None] = self.receive

    def take(self, *, block: bool) -> Job | None:
        """Begin the next job.

        Args:
            block: Wait for one; False returns None when there is none at once.

        Raises:
            Closed: There will be none.
            Retired: Ditto, because the child is to leave.
        """
        while True:
            try:
                data = os.read(self.permits, PERMIT.size)
            except BlockingIOError:
                if not block:
                    return None
                self._poll.poll()
                continue
            if not data:
                raise Closed
            (seq,) = PERMIT.unpack(data)
            if seq == 0:
                raise Retired
            return self._job(seq)

    def take_many(self, count: int) -> list[Job]:
        """Begin the next jobs, as many as there are at once.

        Args:
            count: At most this many.

        Raises:
            Closed: There are none, and will be none.
            Retired: Ditto, because the child is to leave.
        """
        if self._closed is not None:
            raise self._closed
        taken: list[Job] = []
        while len(taken) < count:
            try:
                job = self.take(block=False)
            except Closed as exc:
                if not taken:
                    raise
                self._closed = exc
                break
            if job is None:
                break
            taken.append(job)
        return taken

    def is_empty(self) -> bool:
        """There is nothing to take at once, neither a job nor the order to leave."""
        return not self._poll.poll(0)

    def fileno(self) -> int:
        """The socket: readable when `receive` does not block."""
        return self._frames.sock.fileno()

    def has_frames(self) -> bool:
        """Whether `receive` would not block: whoever took a job may have taken its frame meanwhile."""
        poll = make_poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def receive(self) -> None:
        """Take in frames: jobs for which there may be permits, and orders.

        Raises:
            Closed: The coordinator is gone.
        """
        try:
            for value in self._frames.receive_many():
                self._sort(value)
        except (EOFError, OSError):
            raise Closed from None

    def orders(self) -> list[tuple[int, int]]:
        """Kind and number of a job, for each order received since the last call."""
        orders, self._orders = self._orders, []
        return orders

    def _sort(self, value: Any) -> None:
        """A list is of jobs, a tuple an order."""
        if isinstance(value, list):
            self._jobs.extend(Job(*fields) for fields in value)
        elif value[0] == ADDRESS:
            self.address = value[1]
        else:
            self._orders.append(value)

    def _job(self, seq: int) -> Job:
        """The job of a permit; those before it were recalled."""
        jobs = self._jobs
        while True:
            while jobs:
                job = jobs.popleft()
                if job.seq == seq:
                    if job.tag is not None:
                        self.tags[seq] = job.tag
                    return job
            self.await_frames()
