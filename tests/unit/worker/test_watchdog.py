"""When the watchdog looks, and when it gives a session up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from celeriac.broker.topology import Queue
from celeriac.exceptions import SessionLost
from celeriac.worker.broker_thread import Watchdog

if TYPE_CHECKING:
    from collections.abc import Sequence


class Session:
    """Tells how many messages wait, and counts the questions."""

    def __init__(self, waiting: int) -> None:
        self.waiting = waiting
        self.asked = 0

    def depths(self, queues: Sequence[str]) -> dict[str, int]:
        self.asked += 1
        return dict.fromkeys(queues, self.waiting)


def watch(session: Session) -> Watchdog:
    watchdog = Watchdog(session, [Queue("q")])  # type: ignore[arg-type]
    watchdog.check()
    return watchdog


def test_a_session_that_claims_nothing_of_what_waits_is_given_up() -> None:
    session = Session(waiting=1)
    watchdog = watch(session)
    watchdog.check()
    with pytest.raises(SessionLost, match="messages wait in q"):
        watchdog.check()


def test_progress_and_empty_queues_are_fine() -> None:
    session = Session(waiting=1)
    watchdog = watch(session)
    watchdog.check()
    watchdog.progress()
    for _ in range(2):
        watchdog.check()
    session.waiting = 0
    for _ in range(5):
        watchdog.check()


def test_empty_queues_are_looked_at_every_other_time() -> None:
    session = Session(waiting=0)
    watchdog = watch(session)
    for _ in range(6):
        watchdog.check()
    assert session.asked == 3
