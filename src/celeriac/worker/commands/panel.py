"""Carries out the commands that the mailbox hears.  Runs on the coordinator's loop."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import WorkerShutdown
from celeriac.worker.commands.registry import find
from celeriac.worker.commands.state import Consumer, ControlState
from celeriac.worker.mailbox import NO_REPLY

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.app.base import Celery
    from celeriac.control.mailbox import Request
    from celeriac.worker.commands.state import WorkerParts

logger = logging.getLogger("celeriac.worker.control")


class Panel:
    """The commands of one worker.

    Args:
        app: The application.
        hostname: Name of the node.
        parts: The worker.
        step_info: Gives what the steps of users tell of themselves.
    """

    def __init__(
        self, app: Celery, hostname: str, parts: WorkerParts, step_info: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self.state = ControlState(app, hostname, Consumer(app, hostname, parts), parts, time.monotonic(), step_info)

    def carry_out(self, request: Request) -> Any:
        """The answer to a request; an error is an answer too."""
        try:
            function = find(request.method).function
        except KeyError as exc:
            logger.error("No such control command: %s", request.method)
            return {"error": repr(exc)}
        self.state.request = request
        try:
            return function(self.state, **request.arguments)
        except WorkerShutdown:
            # As in Celery, where it ends the worker before an answer could be sent.
            return NO_REPLY
        except Exception as exc:
            logger.warning("The control command %s(%s) failed: %r", request.method, request.arguments, exc)
            return {"error": repr(exc)}
