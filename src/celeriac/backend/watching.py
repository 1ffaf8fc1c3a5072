"""Waiting for results in stores that are read again when told to.  How a store tells is its backend's matter."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from celeriac import states
from celeriac.exceptions import TimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from celeriac.backend.base import ResultRecord

#: Seconds between two reads for this many pending results: reading ten thousand ids for each that comes would
#: cost more than the results themselves.
_PAUSE_PER_ID = 0.000005


def watch_by_reading(
    task_ids: Collection[str],
    *,
    timeout: float | None,
    load_many: Callable[[Sequence[str]], dict[str, ResultRecord]],
    wait: Callable[[float | None], None],
) -> Iterator[ResultRecord]:
    """Yield each record as it becomes ready, reading all pending ones after each wait.

    Args:
        task_ids: The tasks.
        timeout: Seconds until giving up; None waits for ever.
        load_many: Reads.
        wait: Waits until it is worth reading again, at most as many seconds as given. News that came since the
            last wait ended must end it at once.

    Raises:
        celeriac.exceptions.TimeoutError: Some are not ready in time.
    """
    pending = dict.fromkeys(task_ids)
    deadline = None if timeout is None else time.monotonic() + timeout
    while pending:
        found = load_many(list(pending))
        for task_id, record in found.items():
            if record.status in states.READY_STATES:
                del pending[task_id]
                yield record
        if not pending:
            return
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError(not_ready(pending, timeout))
        if len(pending) > 200:
            time.sleep(len(pending) * _PAUSE_PER_ID)
        wait(remaining)


def not_ready(pending: Collection[str], timeout: float | None) -> str:
    """What to say about results that did not come."""
    first = next(iter(pending))
    which = f"task {first}" if len(pending) == 1 else f"{len(pending)} tasks, {first} among them,"
    return f"the result of {which} was not ready after {timeout:g} s" if timeout is not None else which
