"""Asking the other workers, at the start, what is revoked, and for their clocks.  Only where that is wanted.

In Celery every worker does so, and tells revokes no other way.  Runs in a thread that may wait.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import OperationalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from celeriac.app.base import Celery

__all__ = ["mingle"]

logger = logging.getLogger("celeriac.worker.consumer.mingle")

#: Seconds to wait for answers, as in Celery.
_TIMEOUT = 1.0


def mingle(app: Celery, hostname: str, revoked: Mapping[str, float]) -> list[str]:
    """Tell the others what is revoked, ask them, and set the clock by theirs.

    Args:
        app: The application.
        hostname: Name of this node.
        revoked: Ids of revoked tasks.

    Returns:
        The ids that the others know.
    """
    logger.info("mingle: searching for neighbors")
    try:
        replies: Any = app.control.inspect(timeout=_TIMEOUT).hello(hostname, revoked=dict(revoked)) or {}
    except OperationalError as exc:
        logger.warning("mingle: the broker carries no questions to other workers: %s", exc)
        return []
    others = {name: reply for name, reply in replies.items() if isinstance(reply, dict) and name != hostname}
    if not others:
        logger.info("mingle: all alone")
        return []
    logger.info("mingle: sync with %s nodes", len(others))
    found: dict[str, None] = {}
    for reply in others.values():
        app.clock.adjust(int(reply.get("clock") or 0))
        found.update(dict.fromkeys(_ids(reply.get("revoked"))))
    logger.info("mingle: sync complete")
    return list(found)


def _ids(revoked: Any) -> Iterable[str]:
    """The ids in an answer: the keys of a mapping, or a list."""
    return map(str, revoked) if isinstance(revoked, dict | list) else ()
