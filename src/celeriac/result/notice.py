"""Calling a function when results are ready: what ``then()`` does."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from celeriac.backend.notifier import notifier_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.backend.base import ResultRecord
    from celeriac.backend.notifier import Subscription


class Notice:
    """A call that is to be made once.

    Args:
        awaited: Results by id.
        call: Makes it.
        on_error: Called with what went wrong; None logs it.

    Attributes:
        ready: The call was made, or failed.
        cancelled: It will not be made.
    """

    def __init__(
        self, awaited: dict[str, Any], call: Callable[[], object], on_error: Callable[[Exception], object] | None
    ) -> None:
        self._awaited = awaited
        self._call = call
        self._on_error = on_error
        self._subscription: Subscription | None = None
        self._lock = threading.Lock()
        self.ready = False
        self.cancelled = False

    def subscribe(self, backend: Any) -> None:
        """Wait for the results, if there are any to wait for."""
        if self._awaited:
            self._subscription = notifier_of(backend).subscribe(self._awaited, self._take, self._fail)
            known = [record for each in list(self._awaited.values()) if (record := each.known_record()) is not None]
            self._take(known)
        else:
            self._finish()

    def cancel(self) -> None:
        """Do not make the call."""
        self.cancelled = True
        if self._subscription is not None:
            self._subscription.cancel()

    def _take(self, records: Sequence[ResultRecord]) -> None:
        with self._lock:
            for record in records:
                result = self._awaited.pop(record.task_id, None)
                if result is not None:
                    result.keep(record)
            is_last = bool(records) and not self._awaited and not self.ready
        if is_last:
            self._finish()

    def _finish(self) -> None:
        with self._lock:
            if self.ready or self.cancelled:
                return
            self.ready = True
        try:
            self._call()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.ready = True
        if self._on_error is None:
            # Not at the top: clients that have nothing to log do without the package.
            import logging

            logger = logging.getLogger(__name__)
            logger.error("A function given to then() was not called, or failed: %r", error, exc_info=error)
        else:
            self._on_error(error)


def notice(
    owner: Any,
    results: Sequence[Any],
    callback: Callable[[Any], object],
    on_error: Callable[[Exception], object] | None,
    weak: bool,
) -> Notice:
    """Call ``callback(owner)`` when all of these have ended.

    Args:
        owner: A result or a set of results.
        results: The results of tasks in it.
        callback: Called with the owner.
        on_error: Called with what ``callback`` raised, or with the error of the store; None logs it.
        weak: Keep only a weak reference to the owner, and call nothing once it is gone.
    """
    get_owner: Callable[[], Any] = weakref.ref(owner) if weak else lambda: owner

    def call() -> None:
        alive = get_owner()
        if alive is not None:
            callback(alive)

    backend = owner.backend
    awaited = {result.id: result for result in results if result.known_record() is None and not result.ignored}
    if weak:
        awaited = {task_id: _Weak(result) for task_id, result in awaited.items()}
    made = Notice(awaited, call, on_error)
    made.subscribe(backend)
    return made


class _Weak:
    """A result that may be gone."""

    def __init__(self, result: Any) -> None:
        self._result = weakref.ref(result)

    def known_record(self) -> ResultRecord | None:
        """See `AsyncResult`."""
        result = self._result()
        return None if result is None else result.known_record()

    def keep(self, record: ResultRecord) -> None:
        """See `AsyncResult`."""
        result = self._result()
        if result is not None:
            result.keep(record)
