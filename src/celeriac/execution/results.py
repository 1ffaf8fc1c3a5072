"""Group commit of results: records wait for company, but never for long.  Storing is the backend's job.

A record is handed to the backend together with those finished right after it.  It waits at most
`MAX_DELAY` seconds: when the next task takes longer than that, a side thread flushes in its place.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from celeriac import states
from celeriac.exceptions import EncodeError, OperationalError
from celeriac.execution.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.backend.base import ResultBackend, ResultRecord
    from celeriac.execution.chords import EndedPart
    from celeriac.execution.job import Outcome

logger = logging.getLogger(__name__)

#: Type of an event, Unix time, and its fields: the id of a task that started, id, text of the result and seconds of
#: one that succeeded, a mapping otherwise.
ReportedEvent: TypeAlias = tuple[str, float, Any]
#: Seconds a finished task may wait for others before it is stored and reported.
MAX_DELAY = 0.005
#: A batch this long is stored at once.
MAX_BATCH = 64


class ResultBuffer:
    """Records and outcomes of finished jobs, on their way out.

    `add` and `flush` may be called from several threads.  An outcome is sent only after its record is stored, so
    nothing is acknowledged whose result could still be lost.

    Args:
        send: Takes a batch of outcomes to the coordinator.
        stop_waiting: Says that the worker is going away: stop retrying a store that is down.
        join: Takes the ends of tasks in chords, and ``stop_waiting``.
        report: Takes events about tasks, before the outcomes of these; None wants none.
        apart: Store and report in the side thread only, whatever is there as soon as it is free: for a caller that
            must not wait.
    """

    def __init__(
        self,
        send: Callable[[list[Outcome]], None],
        stop_waiting: Callable[[], bool] = lambda: False,
        *,
        join: Callable[[list[EndedPart], Callable[[], bool]], None],
        report: Callable[[list[ReportedEvent]], None] | None = None,
        apart: bool = False,
    ) -> None:
        self._report = report
        self._send = send
        self._apart = apart
        self._join = join
        self._stop_waiting = stop_waiting
        # Deques, because the side thread takes from them while the main thread appends.
        self._records: deque[tuple[ResultBackend, ResultRecord]] = deque()
        self._parts: deque[EndedPart] = deque()
        self._events: deque[ReportedEvent] = deque()
        self._outcomes: deque[Outcome] = deque()
        self._lock = threading.Lock()
        self._armed = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False

    def record(self, backend: ResultBackend, record: ResultRecord) -> None:
        """Queue one record for storing."""
        self._records.append((backend, record))

    def end_part(self, part: EndedPart) -> None:
        """Queue the end of a task that is in the header of a chord; it is recorded after its result is stored."""
        self._parts.append(part)

    def event(self, type_: str, fields: Any) -> None:
        """Queue an event about a task; one that ends it, after its record was queued."""
        if self._report is not None:
            self._events.append((type_, time.time(), fields))
            if not self._armed.is_set():
                self._arm()

    def finish(self, outcome: Outcome, *, more: bool) -> None:
        """Queue the outcome of a finished job.

        Args:
            outcome: How it ended; its record, if any, was given to `record` before.
            more: Another job starts right away; False flushes at once.
        """
        self._outcomes.append(outcome)
        if self._apart:
            if not self._armed.is_set():
                self._arm()
        elif not more or len(self._outcomes) >= MAX_BATCH:
            self.flush()
        elif not self._armed.is_set():
            self._arm()

    def flush(self) -> None:
        """Store what is queued, then report it. Returns when both are done."""
        with self._lock:
            self._armed.clear()
            # Outcomes and events first: the record of each one taken here was queued before it.
            events = [self._events.popleft() for _ in range(len(self._events))]
            outcomes = [self._outcomes.popleft() for _ in range(len(self._outcomes))]
            parts = [self._parts.popleft() for _ in range(len(self._parts))]
            records = [self._records.popleft() for _ in range(len(self._records))]
            if records:
                self._store(records)
            if parts:
                self._join(parts, self._stop_waiting)
            if events and self._report is not None:
                self._report(events)
            if outcomes:
                self._send(outcomes)

    def close(self) -> None:
        """Flush, and end the side thread; nothing may be queued from now on."""
        self.flush()
        self._closed = True
        self._armed.set()
        if self._thread is not None:
            self._thread.join()

    def _arm(self) -> None:
        """Start the clock of the oldest record."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._flush_late, name="result-buffer", daemon=True)
            self._thread.start()
        self._armed.set()

    def _flush_late(self) -> None:
        """Side thread: flush what the main thread did not get to within `MAX_DELAY`."""
        while not self._closed:
            self._armed.wait()
            if not self._apart and not self._closed:
                time.sleep(MAX_DELAY)
            if self._armed.is_set():
                self.flush()

    def _store(self, records: list[tuple[ResultBackend, ResultRecord]]) -> None:
        """Store batch by batch, in order, a batch being a run of records of one backend."""
        start = 0
        for end in range(1, len(records) + 1):
            if end == len(records) or records[end][0] is not records[start][0]:
                store_records(records[start][0], [record for _, record in records[start:end]], self._stop_waiting)
                start = end


def store_records(
    backend: ResultBackend, records: list[ResultRecord], stop_waiting: Callable[[], bool] = lambda: False
) -> None:
    """Store records, waiting as long as the store cannot be reached.

    A record the store refuses for itself (it cannot be encoded, or is too large) becomes a FAILURE that says so.

    Raises:
        OperationalError: The store is still out of reach and ``stop_waiting`` says to give up.
    """
    what = f"store {len(records)} result(s) in {backend.url}"
    try:
        patiently(lambda: backend.store_many(records), what, stop_waiting)
    except OperationalError:
        raise
    except Exception as exc:
        # Whatever is wrong with one record must neither keep back the others nor end the process.
        if len(records) > 1:
            for record in records:
                store_records(backend, [record], stop_waiting)
        else:
            _store_refusal(backend, records[0], exc)


def _store_refusal(backend: ResultBackend, record: ResultRecord, exc: Exception) -> None:
    """Replace a record that cannot be stored by the failure to store it."""
    logger.error("Cannot store the result of task %s (%s): %r", record.task_id, record.status, exc)
    if record.status == states.FAILURE:
        exc = EncodeError(f"{record.result!r} could not be stored: {exc}")
    record.status = states.FAILURE
    record.result = exc
    record.traceback = None
    try:
        backend.store_many([record])
    except Exception:
        logger.critical("Task %s: its failure could not be stored either", record.task_id, exc_info=True)
