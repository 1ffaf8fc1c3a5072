"""Settles what a session holds, in requests that run beside each other.

An acknowledgement that fails is tried again for as long as the message is ours; later the service would not take it.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Final, TypeVar

from celeriac.broker.sqs.service import BATCH, Outgoing, batches
from celeriac.drivers.aws import translated
from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from celeriac.broker.sqs.holding import Held
    from celeriac.broker.sqs.service import Service

R = TypeVar("R")
T = TypeVar("T")

#: Requests at a time.
PARALLEL: Final = 8


class Settling:
    """The requests of one session.

    Args:
        service: Where the messages are.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requests = ThreadPoolExecutor(PARALLEL, thread_name_prefix="sqs-settle")
        self._lock = threading.Lock()
        #: To be deleted, by queue; and what is being deleted.
        self._done: dict[str, list[Held]] = {}
        self._deleting: set[Future[None]] = set()

    def acknowledge(self, items: Sequence[Held]) -> None:
        """Delete with the next requests; full ones leave at once."""
        full: list[list[Held]] = []
        with self._lock:
            for held in items:
                waiting = self._done.setdefault(held.queue, [])
                waiting.append(held)
                if len(waiting) == BATCH:
                    full.append(waiting)
                    self._done[held.queue] = []
        for page in full:
            self._submit_deletion(page)

    def begin(self) -> None:
        """Send the requests that are not full."""
        with self._lock:
            pages = [page for page in self._done.values() if page]
            self._done = {}
        for page in pages:
            self._submit_deletion(page)

    def flush(self, deadline: float) -> None:
        """Wait until everything acknowledged is deleted.

        Raises:
            OperationalError: It was not in time.
        """
        while True:
            self.begin()
            with self._lock:
                running = set(self._deleting)
            if not running:
                return
            if wait(running, max(deadline - time.monotonic(), 0.0)).not_done:
                raise OperationalError(f"{self._service.url}: acknowledgements were not answered in time")
            if time.monotonic() > deadline:
                return

    def _submit_deletion(self, page: list[Held]) -> None:
        future = self._submit(self._delete, page)
        with self._lock:
            self._deleting.add(future)
        future.add_done_callback(self._deleted)

    def _deleted(self, future: Future[None]) -> None:
        with self._lock:
            self._deleting.discard(future)

    def _delete(self, page: list[Held]) -> None:
        try:
            failed = self.delete_now(page)
        except OperationalError:
            failed = page
        now = time.monotonic()
        again = [held for held in failed if held.until > now]
        if again:
            with self._lock:
                self._done.setdefault(again[0].queue, []).extend(again)

    # --- at once

    def delete_now(self, page: Sequence[Held]) -> list[Held]:
        """Delete up to `BATCH` messages of one queue; returns those that the service did not delete."""
        with translated(self._service.url):
            failed = self._service.delete(page[0].queue, [held.receipt for held in page])
        return [page[position] for position in failed]

    def delete_all(self, items: Sequence[Held]) -> list[Held]:
        """Delete messages; returns those that were not."""
        return [held for page in self._in_parallel(self.delete_now, items) for held in page]

    def show(self, items: Sequence[Held]) -> None:
        """Let others take messages at once; the deliveries count."""

        def hide(page: Sequence[Held]) -> None:
            with translated(self._service.url):
                self._service.hide(page[0].queue, [held.receipt for held in page], 0)

        self._in_parallel(hide, items)

    def extend(self, items: Sequence[Held]) -> None:
        """Keep messages for another lease; those that the service does not know any more lapse."""

        def extend(page: Sequence[Held]) -> None:
            began, lease = time.monotonic(), self._service.options.lease
            with translated(self._service.url):
                failed = self._service.hide(page[0].queue, [held.receipt for held in page], lease)
            for position, held in enumerate(page):
                held.until = 0.0 if position in failed else began + lease

        self._in_parallel(extend, items)

    def move(self, items: Sequence[tuple[Held, str, Outgoing]]) -> None:
        """Send copies to queues, and delete the originals of those that were taken.

        What is in between when the process dies is there twice, and never lost.
        """

        def move(page: Sequence[tuple[Held, str, Outgoing]]) -> None:
            for part in batches([copy for _, _, copy in page]):
                with translated(self._service.url):
                    refused = self._service.send(page[0][1], [copy for _, _, copy in page[part]])
                moved = [held for position, (held, _, _) in enumerate(page[part]) if position not in refused]
                if moved:
                    self.delete_now(moved)
                if refused:
                    raise OperationalError(f"{self._service.url} refused a copy: {next(iter(refused.values()))}")

        by_route: dict[tuple[str, str], list[tuple[Held, str, Outgoing]]] = {}
        for item in items:
            by_route.setdefault((item[0].queue, item[1]), []).append(item)
        futures = [
            self._submit(move, page[start : start + BATCH])
            for page in by_route.values()
            for start in range(0, len(page), BATCH)
        ]
        for future in futures:
            future.result()

    def _in_parallel(self, request: Callable[[Sequence[Held]], R], items: Sequence[Held]) -> list[R]:
        by_queue: dict[str, list[Held]] = {}
        for held in items:
            by_queue.setdefault(held.queue, []).append(held)
        futures = [
            self._submit(request, page[start : start + BATCH])
            for page in by_queue.values()
            for start in range(0, len(page), BATCH)
        ]
        return [future.result() for future in futures]

    def _submit(self, work: Callable[[T], R], argument: T) -> Future[R]:
        """Begin a request; after the end of the session, when something has come too late, do it here."""
        try:
            return self._requests.submit(work, argument)
        except RuntimeError:
            future: Future[R] = Future()
            future.set_result(work(argument))
            return future

    def run(self, work: Callable[[], None], deadline: float) -> bool:
        """Do something that asks the service; False when it is not over in time, and goes on."""
        future = self._requests.submit(work)
        if wait([future], max(deadline - time.monotonic(), 0.0)).not_done:
            return False
        future.result()
        return True

    def close(self) -> None:
        """Begin no more requests."""
        self._requests.shutdown(wait=False)
