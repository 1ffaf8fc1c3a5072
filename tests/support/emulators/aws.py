"""moto's server, with queues that give a message to one consumer at a time: ``python -m tests.support.emulators.aws``.

moto looks for visible messages and hides them in two steps, so that consumers who ask at the same time all get them.
Here each change of a queue is one step, and a request that waits does so between the steps.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import Any

from moto.server import main
from moto.sqs.models import SQSBackend

_LOCK = threading.RLock()
_CHANGES = (
    "change_message_visibility",
    "change_message_visibility_batch",
    "create_queue",
    "delete_message",
    "delete_message_batch",
    "get_queue_attributes",
    "purge_queue",
    "send_message",
    "send_message_batch",
)
#: Seconds between looks of a request that waits.
_PAUSE = 0.05

_take = SQSBackend.receive_message


def receive_message(
    self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, *arguments: Any, **options: Any
) -> Any:
    """Look again and again instead of waiting with the lock held."""
    end = time.monotonic() + wait_seconds_timeout
    while True:
        with _LOCK:
            found = _take(self, queue_name, count, 0, *arguments, **options)
        if found or time.monotonic() >= end:
            return found
        time.sleep(_PAUSE)


def _in_one_step(name: str) -> None:
    method = getattr(SQSBackend, name)

    @functools.wraps(method)
    def locked(*arguments: Any, **options: Any) -> Any:
        with _LOCK:
            return method(*arguments, **options)

    setattr(SQSBackend, name, locked)


if __name__ == "__main__":
    for each in _CHANGES:
        _in_one_step(each)
    SQSBackend.receive_message = receive_message  # type: ignore[method-assign]
    main()
