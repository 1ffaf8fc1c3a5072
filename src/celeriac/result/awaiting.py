"""Waiting for results in coroutines.  The backend's notifier tells from its thread; no thread waits for a coroutine.

It is imported when somebody awaits: asyncio takes longer to import than the rest of a client.
"""

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from typing import TYPE_CHECKING, Any

from celeriac.backend.notifier import notifier_of
from celeriac.backend.watching import not_ready
from celeriac.exceptions import TimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from celeriac.backend.base import ResultBackend, ResultRecord


class Arrivals:
    """Records of some tasks for one coroutine, in order of arrival; to be used in a ``with`` block.

    Args:
        backend: Where the results are.
        results: By id.
        timeout: Seconds for all together; None waits for ever.
        keep: Each result keeps its record, before any coroutine is told.

    Raises:
        celeriac.exceptions.TimeoutError: Time is up; raised by `next`.
        OperationalError: The store failed; ditto.
    """

    def __init__(
        self, backend: ResultBackend, results: Mapping[str, Any], timeout: float | None, *, keep: bool = True
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._notifier = notifier_of(backend)
        self._pending = dict(results)
        self._timeout = timeout
        self._keep = keep
        self._deadline = None if timeout is None else self._loop.time() + timeout
        self._records: deque[ResultRecord] = deque()
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._subscription = self._notifier.subscribe(self._pending, self._take, self._fail)
        # Told to somebody else between the caller's look and this subscription.
        kept = [record for result in self._pending.values() if (record := result.known_record()) is not None]
        self._records.extend(kept)
        return self

    def __exit__(self, *exc: object) -> None:
        self._subscription.cancel()

    async def next(self) -> list[ResultRecord]:
        """Wait for the next records."""
        while True:
            records = [self._records.popleft() for _ in range(len(self._records))]
            new = [record for record in records if self._pending.pop(record.task_id, None) is not None]
            if new:
                return new
            if self._error is not None:
                # Others raise the same one; each begins its own traceback.
                raise self._error.with_traceback(None)
            await self._wait()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        if self._records or self._error is not None:
            return
        try:
            async with asyncio.timeout_at(self._deadline):
                await self._waiter
        except builtins.TimeoutError:
            raise TimeoutError(not_ready(self._pending, self._timeout)) from None

    # --- in the notifier's thread

    def _take(self, records: Sequence[ResultRecord]) -> None:
        for record in records if self._keep else ():
            result = self._pending.get(record.task_id)
            if result is not None:
                result.keep(record)
        self._records.extend(records)
        self._resume()

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._resume()

    def _resume(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
