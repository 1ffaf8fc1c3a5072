"""A steady load of tasks, and waiting for the workers to get on with it."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from celeriac.exceptions import OperationalError
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.worker import Workshop


@contextmanager
def publishing(workshop: Workshop, name: str, *, rate: float, seconds: float = 0.002) -> Iterator[list[str]]:
    """Publish tasks in a thread while the block runs; the list has the ids the broker accepted.

    A publish is tried once: when its answer gets lost, trying again would make a second message of the task.
    """
    ids: list[str] = []
    enough = threading.Event()

    def run() -> None:
        task = workshop.task(name)
        while not enough.wait(1.0 / rate):
            with suppress(OperationalError):
                ids.append(task.apply_async((seconds,), retry=False).id)
        # What a thread opened it has to close itself.
        workshop.app.sessions.drop()

    thread = threading.Thread(target=run, name="publisher", daemon=True)
    thread.start()
    try:
        yield ids
    finally:
        enough.set()
        thread.join()


def progress(workshop: Workshop, count: int, what: str = "end") -> None:
    """Wait until that many more tasks have begun or ended."""
    seen = workshop.ledger.count(what)
    wait_until(lambda: workshop.ledger.count(what) > seen + count, what=f"{count} more records of {what}")
