"""`ping`, by which `celeriac.contrib.testing.worker.start_worker` sees that its worker works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.app.shared import shared_task

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["PING", "declare_ping", "ping"]

PING: Final = "celery.ping"


def _answer() -> str:
    return "pong"


#: Answers.
ping = shared_task(name=PING)(_answer)


def declare_ping(app: Celery) -> None:
    """Have the task in an app, unless it is there."""
    if PING not in app.tasks:
        app.task(name=PING, shared=False)(_answer)
