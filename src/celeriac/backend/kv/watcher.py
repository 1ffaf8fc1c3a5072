"""Waiting for results in key-value stores: one thread of a process reads for all that wait.

The pauses between its reads grow with the time waited, and with what a read costs; a store that tells of changes ends
them.  What a value means is not known here.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from celeriac.backend.kv.driver import Driver, News, Stored

#: Seconds of the first pause.
FIRST_PAUSE: Final = 0.005
#: Of the time waited so far, or since something came last: a result is noticed so much later than it could be.
SHARE: Final = 0.1
#: Pauses for one read, in units of what the last one took: a store is not kept busy by those who wait.
REST: Final = 2.0
#: Keys in one read of what was added to a wait.
PAGE: Final = 1000


class Waiter:
    """One wait for some keys.

    Attributes:
        keys: What is still awaited; its owner takes away what has come.
        unread: Keys that came in after the first read, and are still to be read.
        woken: `Watcher.wake` was called, and no wait has returned since.
    """

    __slots__ = ("_came", "_cost", "_moved_at", "_read_at", "_seen", "keys", "signal", "unread", "woken")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self.keys = dict.fromkeys(keys)
        self.unread: deque[str] = deque()
        self.woken = False
        self.signal = threading.Event()
        self._came: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}
        self._moved_at = time.monotonic()
        self._read_at = 0.0
        self._cost = 0.0

    def add(self, keys: Iterable[str]) -> None:
        """Wait for more keys. Called by its owner, outside of `Watcher.wait`."""
        new = [key for key in dict.fromkeys(keys) if key not in self.keys]
        self.keys.update(dict.fromkeys(new))
        self._moved_at = time.monotonic()
        if self._read_at:
            self.unread.extend(new)

    def due_at(self, longest_pause: float, part: float = 1.0) -> float:
        """When this part of the pause before it is read for again, without news, is over."""
        if not self._read_at:
            return 0.0
        pause = min(max((self._read_at - self._moved_at) * SHARE, FIRST_PAUSE), longest_pause)
        return max(self._read_at + pause * part, self.rested_at())

    def rested_at(self) -> float:
        """When to read for it again, with news."""
        return self._read_at + REST * self._cost

    def take_in(self, found: Mapping[str, Stored], now: float, cost: float) -> None:
        """Note what was read, and what of it is new."""
        self._read_at, self._cost = now, cost
        self.note(found)
        if self._came:
            self._moved_at = now
            self.signal.set()

    def note(self, found: Mapping[str, Stored]) -> None:
        """Note what of this is new."""
        for key, stored in found.items():
            if key in self.keys and self._seen.get(key) != stored.data:
                self._seen[key] = self._came[key] = stored.data

    def take(self) -> dict[str, Any]:
        """What has come since the last call."""
        came, self._came = self._came, {}
        return came

    def done(self, key: str) -> None:
        """No longer wait for a key."""
        self.keys.pop(key, None)
        self._seen.pop(key, None)
        self._came.pop(key, None)


class Watcher:
    """Tells threads what is stored under keys, now and whenever it changes.

    Only threads inside `wait` are known here: one that is left leaves nothing behind.

    Args:
        read: Reads.
        driver: Where from.
    """

    def __init__(self, read: Callable[[Sequence[str]], Mapping[str, Stored]], driver: Driver) -> None:
        self._read = read
        self._driver = driver
        # Guards everything below.
        self._lock = threading.Lock()
        self._waiting: list[Waiter] = []
        self._reader: Waiter | None = None
        self._news: News | None = None
        self._told = False

    def wait(self, waiter: Waiter, deadline: float) -> dict[str, Any]:
        """Wait for news about a waiter's keys.

        Returns:
            What is new, by key; nothing when the deadline has passed, or after `wake`.
        """
        while waiter.unread:
            self._read_added(waiter)
            if came := waiter.take():
                return came
        with self._lock:
            waiter.signal.clear()
            if self._news is None:
                # What came while nobody listened is not told again: it is found by reading.
                self._news, self._told = self._driver.news(), True
            self._waiting.append(waiter)
            if self._reader is None:
                self._reader = waiter
            else:
                self._news.wake()
        try:
            while not (came := waiter.take()):
                if waiter.woken:
                    waiter.woken = False
                    return {}
                remaining = deadline - time.monotonic()
                if self._reader is waiter:
                    self._read_when_due(deadline)
                elif remaining > 0:
                    waiter.signal.wait(min(remaining, threading.TIMEOUT_MAX))
                    waiter.signal.clear()
                else:
                    # The one who reads may not have come to it.
                    self._read_for([waiter])
                if remaining <= 0:
                    return waiter.take()
            return came
        finally:
            self._leave(waiter)

    def wake(self, waiter: Waiter) -> None:
        """Make a waiter's `wait` return, the present one or the next. Safe from any thread, and does not block."""
        waiter.woken = True
        waiter.signal.set()
        # Whoever reads may be another one, which then only looks again.
        news = self._news
        if news is not None:
            news.wake()

    def _read_added(self, waiter: Waiter) -> None:
        """Read a page of what was added: to read everything again for each would take ever longer."""
        page = [waiter.unread.popleft() for _ in range(min(PAGE, len(waiter.unread)))]
        page = [key for key in page if key in waiter.keys]
        if page:
            waiter.note(self._read(page))

    def _read_when_due(self, deadline: float) -> None:
        """Read for all whose time has come; sleep when there are none. In the reader's thread only."""
        now, longest = time.monotonic(), self._driver.longest_pause
        with self._lock:
            news, told = self._news, self._told
            due = [(waiter.rested_at() if told else waiter.due_at(longest), waiter) for waiter in self._waiting]
        soonest = min(at for at, _ in due)
        if news is not None and soonest > now and now < deadline:
            until = min(soonest, deadline)
            woken = news.wait(until - now)
            # It ended early, and nobody came in: something was stored.
            self._told = told or (not woken and time.monotonic() < until)
            return
        # Those half of whose pause is over come along: soon all are read for at once.
        waiters = [waiter for at, waiter in due if min(at, waiter.due_at(longest, 0.5)) <= now or now >= deadline]
        self._told = told and len(waiters) < len(due)
        self._read_for(waiters)

    def _read_for(self, waiters: Sequence[Waiter]) -> None:
        keys = list(dict.fromkeys(key for waiter in waiters for key in tuple(waiter.keys)))
        started = time.monotonic()
        found = self._read(keys)
        now = time.monotonic()
        with self._lock:
            for waiter in waiters:
                if waiter in self._waiting:
                    waiter.take_in(found, now, now - started)

    def _leave(self, waiter: Waiter) -> None:
        """Be known no more; another thread that waits reads from now on."""
        with self._lock:
            self._waiting.remove(waiter)
            if self._reader is waiter:
                self._reader = self._waiting[0] if self._waiting else None
                if self._reader is not None:
                    self._reader.signal.set()
            if not self._waiting and self._news is not None:
                self._news.close()
                self._news = None
