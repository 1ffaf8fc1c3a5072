"""The ends of a child's socket and of its pipe of permits that the coordinator holds, while the child lives.

What the frames mean, and which jobs are permitted, is the pool's business.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

from celeriac.pool.frames import FrameParser
from celeriac.pool.inbox import PERMIT

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

logger = logging.getLogger("celeriac.pool.process")

_READ_SIZE = 64 * 1024
#: Permits in one write to the pipe: PIPE_BUF, which POSIX says is written all or not at all.
_PERMITS = select.PIPE_BUF // PERMIT.size


class ChildChannel:
    """What connects the coordinator with one child.

    Args:
        index: Number of its slot.
        loop: The coordinator's loop.
        hand_over: Takes the file descriptors that are the child's.
        on_readable: Called on the loop when the child has said something.

    Raises:
        OSError: What `hand_over` raised.
    """

    __slots__ = ("_index", "_loop", "_outgoing", "_parser", "_permits_in", "_permits_out", "_sock", "_withheld")

    def __init__(
        self,
        index: int,
        loop: asyncio.AbstractEventLoop,
        hand_over: Callable[[list[int]], object],
        on_readable: Callable[[], object],
    ) -> None:
        self._index = index
        self._loop = loop
        self._parser = FrameParser()
        # What the socket, and the pipe, did not take yet.
        self._outgoing = bytearray()
        self._withheld: deque[int] = deque()
        self._sock, theirs = socket.socketpair()
        # Both ends, so that permits which the child has not taken can be taken back.
        self._permits_in, self._permits_out = os.pipe()
        try:
            hand_over([theirs.fileno(), self._permits_in])
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
        self._sock.setblocking(False)
        os.set_blocking(self._permits_in, False)
        os.set_blocking(self._permits_out, False)
        loop.add_reader(self._sock, on_readable)

    def close(self) -> None:
        """Close our ends: the child is gone."""
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._loop.remove_writer(self._permits_out)
        self._sock.close()
        os.close(self._permits_in)
        os.close(self._permits_out)

    # -- frames -----------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, the rest when it is writable."""
        if not self._outgoing:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # The child is dying; its exit report settles the jobs.
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._sock, self._flush)
        self._outgoing += data

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._outgoing)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._outgoing)
        del self._outgoing[:sent]
        if not self._outgoing:
            self._loop.remove_writer(self._sock)

    def read(self) -> list[tuple[int, Any]] | None:
        """Frames of the child: kinds and values; None when there is nothing more for now."""
        try:
            data = self._sock.recv(_READ_SIZE)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno != errno.ECONNRESET:
                logger.warning("Reading from child %d failed: %s", self._index, exc)
            data = b""
        if not data:
            # End of the socket: the exit report follows.
            self._loop.remove_reader(self._sock)
            return None
        return self._parser.feed(data)

    # -- permits ----------------------------------------------------------------------------------------------

    def permit(self, seqs: Sequence[int]) -> None:
        """Write permits into the pipe; what it does not take is withheld until it does."""
        waits = bool(self._withheld)
        self._withheld.extend(seqs)
        if not waits and not self._permit_withheld():
            self._loop.add_writer(self._permits_out, self._on_pipe_drained)

    def _permit_withheld(self) -> bool:
        """Write what the pipe takes; says whether that was everything."""
        withheld = self._withheld
        while withheld:
            # So few bytes are written all or none, and no permit is cut in two.
            some = list(islice(withheld, _PERMITS))
            try:
                os.write(self._permits_out, b"".join([PERMIT.pack(seq) for seq in some]))
            except BlockingIOError:
                return False
            for _ in some:
                withheld.popleft()
        return True

    def _on_pipe_drained(self) -> None:
        if self._permit_withheld():
            self._loop.remove_writer(self._permits_out)

    def take_permits(self) -> list[int]:
        """Read the permits the child has not taken."""
        found: list[int] = []
        while True:
            try:
                data = os.read(self._permits_in, _PERMITS * PERMIT.size)
            except BlockingIOError:
                break
            found.extend(seq for (seq,) in PERMIT.iter_unpack(data))
            if len(data) < _PERMITS * PERMIT.size:
                break
        found.extend(self._withheld)
        self._withheld.clear()
        return found
