"""Waiting for results: what every backend shares, and how to wait in stores that are read again when told to.

How a store tells that there is something to read is its backend's matter.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from celeriac import states
from celeriac.exceptions import TimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from celeriac.backend.base import ResultRecord, ResultWatch

#: Ids in one read: it bounds the memory that a group of any size takes.
_PAGE = 1000
#: Seconds between two readings of this many pending results: reading ten thousand ids for each that comes would
#: cost more than the results themselves.
_PAUSE_PER_ID = 0.000005
_LONGEST_PAUSE = 0.25


class WatchedResults:
    """`ResultBackend.watch` for a backend that has `open_watch`."""

    def open_watch(self) -> ResultWatch:
        """See `ResultBackend.open_watch`."""
        raise NotImplementedError(f"{type(self).__name__} has no open_watch()")

    def load_many(self, task_ids: Sequence[str]) -> dict[str, ResultRecord]:
        """See `ResultBackend.load_many`."""
        raise NotImplementedError(f"{type(self).__name__} has no load_many()")

    def watch(self, task_ids: Collection[str], *, timeout: float | None) -> Iterator[ResultRecord]:
        """See `ResultBackend.watch`."""
        pending = dict.fromkeys(task_ids)
        if not pending:
            return
        if timeout is not None and timeout <= 0:
            yield from self._ready_now(pending)
        else:
            yield from self._awaited(pending, timeout)
        if pending:
            raise TimeoutError(not_ready(pending, timeout))

    def _ready_now(self, pending: dict[str, None]) -> Iterator[ResultRecord]:
        """Only look: nothing has to be subscribed to for that."""
        task_ids = list(pending)
        for start in range(0, len(task_ids), _PAGE):
            for record in self.load_many(task_ids[start : start + _PAGE]).values():
                if record.status in states.READY_STATES:
                    del pending[record.task_id]
                    yield record

    def _awaited(self, pending: dict[str, None], timeout: float | None) -> Iterator[ResultRecord]:
        """Wait until all have come or time is up."""
        deadline = None if timeout is None else time.monotonic() + timeout
        watch = self.open_watch()
        records: deque[ResultRecord] = deque()
        try:
            watch.add(pending)
            while pending:
                left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
                records.extend(watch.wait(left))
                if not records and deadline is not None and time.monotonic() >= deadline:
                    return
                while records:
                    record = records.popleft()
                    del pending[record.task_id]
                    yield record
        finally:
            if records:
                self.not_yielded(watch, records)
            watch.close()

    def not_yielded(self, watch: ResultWatch, records: Collection[ResultRecord]) -> None:
        """The caller of `watch` went before it was given these: they are to be there for whoever waits next."""


class News(Protocol):
    """How a store tells that there may be something to read."""

    def add(self, task_ids: Sequence[str]) -> None:
        """Be told of these as well, from now on."""
        ...

    def discard(self, task_ids: Sequence[str]) -> None:
        """Need not be told of these any more."""
        ...

    def wait(self, seconds: float | None) -> Sequence[str] | None:
        """Wait for news, at most so long; news that came since the last wait ends it at once, and so does `wake`.

        Returns:
            The ids to read; None is all of them.
        """
        ...

    def wake(self) -> None:
        """End the wait that is going on, or the next one. Called from other threads."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class ReadingWatch:
    """A `ResultWatch` on a store that is read again whenever there are news.

    Args:
        load_many: Reads.
        news: Tells when it is worth reading.
    """

    def __init__(self, load_many: Callable[[Sequence[str]], dict[str, ResultRecord]], news: News) -> None:
        self._load_many = load_many
        self._news = news
        self._pending: dict[str, None] = {}
        self._unread: deque[str] = deque()
        self._woken = False

    def add(self, task_ids: Collection[str]) -> None:
        """See `ResultWatch.add`."""
        new = [task_id for task_id in dict.fromkeys(task_ids) if task_id not in self._pending]
        self._pending.update(dict.fromkeys(new))
        self._unread.extend(new)
        self._news.add(new)

    def discard(self, task_ids: Collection[str]) -> None:
        """See `ResultWatch.discard`."""
        known = [task_id for task_id in dict.fromkeys(task_ids) if task_id in self._pending]
        for task_id in known:
            del self._pending[task_id]
        self._news.discard(known)

    def wait(self, timeout: float | None) -> list[ResultRecord]:
        """See `ResultWatch.wait`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while self._unread:
                ready = self._read_page()
                if ready:
                    return ready
                if self._woken:
                    break
            left = None if deadline is None else deadline - time.monotonic()
            if self._take_wake() or not self._pending or (left is not None and left <= 0):
                return []
            told = self._news.wait(left)
            if told is None:
                self._pause(left)
            self._unread.extend(self._pending if told is None else told)

    def _read_page(self) -> list[ResultRecord]:
        page = [task_id for task_id in islice(self._unread, _PAGE) if task_id in self._pending]
        for _ in range(min(_PAGE, len(self._unread))):
            self._unread.popleft()
        if not page:
            return []
        found = self._load_many(page).values()
        ready = [record for record in found if record.status in states.READY_STATES]
        self.discard([record.task_id for record in ready])
        return ready

    def _pause(self, left: float | None) -> None:
        if len(self._pending) > 200 and not self._woken:
            pause = min(len(self._pending) * _PAUSE_PER_ID, _LONGEST_PAUSE)
            time.sleep(pause if left is None else min(pause, left))

    def _take_wake(self) -> bool:
        # Set to False only where it was seen: a `wake` between look and change must not be lost.
        if self._woken:
            self._woken = False
            return True
        return False

    def wake(self) -> None:
        """See `ResultWatch.wake`."""
        # The flag comes first: it is looked at before every wait.
        self._woken = True
        self._news.wake()

    def close(self) -> None:
        """See `ResultWatch.close`."""
        self._news.close()


def not_ready(pending: Collection[str], timeout: float | None) -> str:
    """What to say about results that did not come."""
    first = next(iter(pending))
    which = f"task {first}" if len(pending) == 1 else f"{len(pending)} tasks, {first} among them,"
    return f"the result of {which} was not ready after {timeout:g} s" if timeout is not None else which
