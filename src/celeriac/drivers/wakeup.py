"""A pipe that ends a wait of another thread.  It carries no data."""

from __future__ import annotations

import os
import select

from celeriac.utils.polling import make_poll


class WakePipe:
    """Something to `select` on beside a connection; `wake` may be called from threads and signal handlers."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
        self._woken = False

    def fileno(self) -> int:
        """The descriptor that becomes readable."""
        return self._reader

    def wake(self) -> None:
        """End the wait that is going on, or the next one."""
        # The flag comes first: a full pipe ends the wait all the same.
        self._woken = True
        try:
            os.write(self._writer, b"w")
        except OSError:
            return

    def wait(self, seconds: float, *descriptors: int) -> bool:
        """Wait until `wake`, or until one of some descriptors can be read.

        Returns:
            Whether `wake` was called since the last wait.
        """
        poll = make_poll()
        for descriptor in (self._reader, *descriptors):
            poll.register(descriptor, select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)
        try:
            while os.read(self._reader, 64):
                continue
        except OSError:
            # Empty. Set to False only where it was seen: a `wake` between look and change must not be lost.
            if self._woken:
                self._woken = False
                return True
        return False

    def close(self) -> None:
        """Close both ends; `wake` does nothing from now on."""
        if self._reader >= 0:
            reader, writer = self._reader, self._writer
            self._reader = self._writer = -1
            os.close(reader)
            os.close(writer)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer
