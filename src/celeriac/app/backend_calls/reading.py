"""What is stored about tasks, at once or when they have ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.app.backend_calls.base import Calls
from celeriac.app.backend_calls.pending import PendingCalls
from celeriac.exceptions import TimeoutError
from celeriac.result.waiting import as_meta, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celeriac.backend.base import ResultRecord


class ReadingCalls(PendingCalls, Calls):
    """Reading and waiting."""

    def get_task_meta(self, task_id: str, cache: bool = True) -> dict[str, Any]:
        """What is stored about a task.

        Args:
            task_id: The task.
            cache: Has no effect: it is read at each call; an `AsyncResult` keeps what is final.

        Returns:
            ``status``, ``result`` and so on; state PENDING when nothing is known.
        """
        record = self._backend.load_many([task_id]).get(task_id)
        return {"status": states.PENDING, "result": None} if record is None else full_meta(record)

    def get_state(self, task_id: str) -> str:
        """State of a task; PENDING when nothing is known."""
        return str(self.get_task_meta(task_id)["status"])

    get_status = get_state

    def get_result(self, task_id: str) -> Any:
        """Value of a task, or its exception."""
        return self.get_task_meta(task_id).get("result")

    def get_traceback(self, task_id: str) -> str | None:
        """Text of the traceback of a failed task."""
        found: str | None = self.get_task_meta(task_id).get("traceback")
        return found

    def get_children(self, task_id: str) -> list[Any] | None:
        """Results of the tasks that a task started, in their stored form."""
        found: list[Any] | None = self.get_task_meta(task_id).get("children")
        return found

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored about a task."""
        return task_id in self._backend.load_many([task_id])

    def is_cached(self, task_id: str) -> bool:
        """False: nothing is kept in memory."""
        return False

    def reload_task_result(self, task_id: str) -> None:
        """Make sure that the next read is from the store, as each is; raises what reading raises."""
        self.get_task_meta(task_id)

    def forget(self, task_id: str) -> None:
        """Delete what is stored about a task."""
        self._backend.forget_many([task_id])

    def wait_for(
        self, task_id: str, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Wait for the end of a task; returns what is stored then.

        Args:
            task_id: The task.
            timeout: Seconds; None waits for ever.
            interval: Seconds between two calls of ``on_interval``; waiting is by notification.
            no_ack: Has no effect, as in `AsyncResult.get`.
            on_interval: Called every ``interval`` seconds.

        Raises:
            TimeoutError: It has not ended in time.
        """
        return full_meta(wait_for(self._backend, task_id, timeout, interval, on_interval))

    def get_many(
        self, task_ids: Sequence[str], timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None, max_iterations: int | None = None,
        READY_STATES: Any = states.READY_STATES,  # noqa: N803 - Celery's name
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Pairs of id and what is stored of tasks, as each ends.

        Args:
            task_ids: The tasks.
            timeout: Seconds for all; None waits for ever.
            interval: Seconds between two calls of ``on_interval``; waiting is by notification.
            no_ack: Has no effect, as in `AsyncResult.get`.
            on_message: Called with what is stored of each.
            on_interval: Called every ``interval`` seconds.
            max_iterations: Stop after so many intervals; None goes on.
            READY_STATES: Has no effect: what has ended is told.

        Raises:
            TimeoutError: Some have not ended in time.
        """
        waiting = set(task_ids)
        began, rounds = time.monotonic(), 0
        while waiting:
            left = None if timeout is None else began + timeout - time.monotonic()
            in_slices = on_interval is not None or max_iterations is not None
            wait = min(interval, left if left is not None else interval) if in_slices else left
            try:
                for record in self._backend.watch(list(waiting), timeout=None if wait is None else max(wait, 0.0)):
                    waiting.discard(record.task_id)
                    meta = full_meta(record)
                    if on_message is not None:
                        on_message(meta)
                    yield record.task_id, meta
            except TimeoutError:
                rounds += 1
                if timeout is not None and time.monotonic() >= began + timeout:
                    raise
                if max_iterations is not None and rounds >= max_iterations:
                    return
                if on_interval is not None:
                    on_interval()

    def add_pending_result(self, result: Any, weak: bool = False) -> Any:
        """Nothing is subscribed before someone waits; returns the result."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing stays subscribed after a wait; returns the result."""
        return result

    def on_task_call(self, producer: Any, task_id: str) -> dict[str, Any]:
        """Prepare for the result of a task that is about to be sent.

        Args:
            producer: Has no effect: the store has connections of its own.
            task_id: The task.

        Returns:
            Options to send it with: ``reply_to``, when results come as messages.
        """
        reply_to = self._backend.expect((task_id,))
        return {} if reply_to is None else {"reply_to": reply_to}


def full_meta(record: ResultRecord) -> dict[str, Any]:
    """A record as the dictionary that Celery's backends give, extended fields and all."""
    meta = as_meta(record)
    for key in ("group_id", "parent_id"):
        value = getattr(record, key)
        if value is not None:
            meta[key] = value
    return {**meta, **(record.extra or {})}
