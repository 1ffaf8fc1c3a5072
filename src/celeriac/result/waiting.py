"""Waiting for one result, and what becomes of a stored record for its callers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from celeriac import states
from celeriac.exceptions import TaskRevokedError, TimeoutError
from celeriac.serialization.failures import remote_traceback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celeriac.backend.base import ResultBackend, ResultRecord
    from celeriac.current import AppLike

#: Ids in one read.
PAGE: Final = 1000


def load_pages(backend: ResultBackend, task_ids: Sequence[str]) -> Iterator[tuple[str, ResultRecord]]:
    """Pairs of id and record of what is stored, read page by page."""
    for start in range(0, len(task_ids), PAGE):
        yield from backend.load_many(task_ids[start : start + PAGE]).items()


def check_timeout(timeout: Any) -> None:
    """Make sure that a timeout is one.

    Raises:
        TypeError: It is neither a number nor None.
    """
    if timeout is not None and not isinstance(timeout, int | float):
        raise TypeError(f"timeout is {timeout!r}: give a number of seconds, or None to wait for ever")


def wait_for(
    backend: ResultBackend, task_id: str, timeout: float | None, interval: float, on_interval: Any
) -> ResultRecord:
    """Wait for one record, in slices if somebody wants to be told about each."""
    if on_interval is None:
        return _first(backend, task_id, timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = interval if deadline is None else min(interval, deadline - time.monotonic())
        try:
            return _first(backend, task_id, max(left, 0.0))
        except TimeoutError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            on_interval()


def _first(backend: ResultBackend, task_id: str, timeout: float | None) -> ResultRecord:
    for record in backend.watch([task_id], timeout=timeout):
        return record
    raise TimeoutError(f"The result of task {task_id} did not arrive: {backend.url} gave up without a reason")


def exception_of(record: ResultRecord, app: AppLike | None = None) -> BaseException:
    """The exception a failed task raised; a result that is none is wrapped in one.

    Args:
        record: What is stored.
        app: With ``task_remote_tracebacks`` the exception has the traceback of the worker; None has none.
    """
    value = record.result
    error = value if isinstance(value, BaseException) else _wrapped(record)
    if app is not None and record.traceback and app.conf.task_remote_tracebacks:
        return error.with_traceback(remote_traceback(record.traceback))
    return error


def _wrapped(record: ResultRecord) -> BaseException:
    if record.status == states.REVOKED:
        return TaskRevokedError("revoked" if record.result is None else record.result)
    return Exception(record.result)


def as_meta(record: ResultRecord) -> dict[str, Any]:
    """A record as the dictionary that ``on_message`` and ``iter_native`` give."""
    return {
        "status": record.status,
        "result": record.result,
        "traceback": record.traceback,
        "children": record.children,
        "date_done": record.date_done,
        "task_id": record.task_id,
    }
