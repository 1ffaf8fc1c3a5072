"""The worker's mailbox: it answers while all slots are busy, nothing is fetched, and the other session reconnects.

Commands are carried out on the coordinator's loop.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any

from celeriac.platform.node_mailbox import NO_REPLY, NodeMailbox
from celeriac.worker.commands.registry import load_builtins

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.control.mailbox import Request

__all__ = ["NO_REPLY", "WorkerMailbox"]

logger = logging.getLogger("celeriac.worker.control")

#: Seconds the loop gets to carry out a command: it may wait for its turn on a busy machine.
_LOOP_TIMEOUT = 60.0


class WorkerMailbox(NodeMailbox):
    """Hears and answers.

    Args:
        app: The application.
        hostname: Name of the node.
        loop: The coordinator's loop.
        carry_out: Carries out a command, on the loop; returns the answer. Never raises.
        on_tried: Called once on the loop, when it hears, or cannot yet.
    """

    def __init__(
        self,
        app: Celery,
        hostname: str,
        loop: asyncio.AbstractEventLoop,
        carry_out: Callable[[Request], Any],
        on_tried: Callable[[], None],
    ) -> None:
        super().__init__(app, hostname, logger)
        self._loop = loop
        self._carry_out = carry_out
        self._on_tried: Callable[[], None] | None = on_tried

    def tried(self) -> None:
        """Say once that the first attempt to hear is over."""
        if self._on_tried is not None:
            try:
                self._loop.call_soon_threadsafe(self._on_tried)
            except RuntimeError:
                self._stopping.set()
            self._on_tried = None

    def answer(self, request: Request) -> Any:
        """Have the loop carry out a command."""
        # The first command imports them: here, where no task waits for it.
        load_builtins()
        future: Future[Any] = Future()
        try:
            self._loop.call_soon_threadsafe(lambda: future.set_result(self._carry_out(request)))
        except RuntimeError:
            # The loop is closed: the worker is gone.
            self._stopping.set()
            return NO_REPLY
        deadline = time.monotonic() + _LOOP_TIMEOUT
        while not self._stopping.is_set() and time.monotonic() < deadline:
            try:
                return future.result(timeout=1.0)
            except FutureTimeout:
                continue
        return NO_REPLY
