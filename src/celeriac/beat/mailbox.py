"""Beat as a node that remote control reaches: it answers ``ping`` while it ticks, and nothing else."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.platform.node_mailbox import NO_REPLY, NodeMailbox

if TYPE_CHECKING:
    from celeriac.beat.service import Service
    from celeriac.control.mailbox import Request

__all__ = ["BeatMailbox"]

logger = logging.getLogger("celeriac.beat")


class BeatMailbox(NodeMailbox):
    """Hears and answers.

    Args:
        service: Beat.
        hostname: Name of the node.
    """

    def __init__(self, service: Service, hostname: str) -> None:
        super().__init__(service.app, hostname, logger)
        self._service = service

    def answer(self, request: Request) -> Any:
        """``pong``; silence about other commands, which are for workers, and when no tick has come for too long."""
        if request.method != "ping":
            return NO_REPLY
        late = self._service.late_by()
        if late is not None:
            logger.warning("beat: A ping is not answered: beat has not ticked for %.0f s", late)
            return NO_REPLY
        return {"ok": "pong"}
