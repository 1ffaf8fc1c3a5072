"""`make_poll`: what waits for several descriptors, in a process patched by eventlet too.  It knows no driver."""

from __future__ import annotations

import select
from typing import Any


def make_poll() -> Any:
    """A `select.poll`, or what does the same where eventlet has taken that away."""
    make = getattr(select, "poll", None)
    return make() if make is not None else _SelectPoll()


class _SelectPoll:
    """`select.poll` by means of `select.select`, which eventlet makes co-operate."""

    def __init__(self) -> None:
        self._wanted: dict[int, int] = {}

    def register(self, file: Any, events: int) -> None:
        self._wanted[file if isinstance(file, int) else file.fileno()] = events

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        reading = [number for number, events in self._wanted.items() if events & select.POLLIN]
        writing = [number for number, events in self._wanted.items() if events & select.POLLOUT]
        seconds = None if milliseconds is None or milliseconds < 0 else milliseconds / 1000
        readable, writable, _ = select.select(reading, writing, [], seconds)
        found = dict.fromkeys(readable, int(select.POLLIN))
        for number in writable:
            found[number] = found.get(number, 0) | select.POLLOUT
        return list(found.items())
