"""The rule about messages that are taken once, for every driver that minds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from celeriac.exceptions import Superseded

if TYPE_CHECKING:
    from celeriac.message import Once

__all__ = ["SUPERSEDED", "check_superseded", "check_taken", "is_new"]

#: What a broker answers about a message that bears an old token.
SUPERSEDED: Final = -1


def is_new(once: Once, token: int, place: str) -> bool:
    """Whether a message is to be taken.

    Args:
        once: Which one it is.
        token: Of the last message of its series that was taken.
        place: Of the same.

    Raises:
        Superseded: It bears an older token.
    """
    if place == once.place:
        return False
    check_superseded(once, token)
    return True


def check_superseded(once: Once, token: int) -> None:
    """Compare with the newest token.

    Raises:
        Superseded: It bears an older one.
    """
    if once.token < token:
        raise _superseded(once)


def check_taken(once: Once, reply: int) -> None:
    """Read a broker's reply.

    Args:
        once: Which message it is about.
        reply: `SUPERSEDED`, or anything else.

    Raises:
        Superseded: The message bears an older token.
    """
    if reply == SUPERSEDED:
        raise _superseded(once)


def _superseded(once: Once) -> Superseded:
    return Superseded(f"{once.series!r} is sent by another now: token {once.token} of {once.scope} is not the newest")
