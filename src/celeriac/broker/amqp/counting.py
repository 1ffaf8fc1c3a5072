"""Which of the messages that came back are to be counted: not those that never got as far as a worker's tasks.

A server that is restarted marks every message as redelivered, also those that it had sent, or was about to send, to a
client that had no use for them yet.  Counted each time, they would be set aside as if they ended their workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from celeriac.message import Delivery

#: Task id and number of retries.
Identity: TypeAlias = "tuple[str, str]"

#: Messages remembered.
_MOST = 10_000


class Counting:
    """What one session, and those it continues, know about messages that were not handed out."""

    def __init__(self) -> None:
        self._spared: set[Identity] = set()
        self._charged: set[Identity] = set()

    def is_spared(self, headers: Mapping[str, Any]) -> bool:
        """Whether a message that came back had not been handed out before; asked once for each."""
        known = identity(headers) if self._spared else None
        if known is None or known not in self._spared:
            return False
        self._spared.remove(known)
        return True

    def charge(self, deliveries: Iterable[Delivery]) -> None:
        """Copies of these, counted, are on their way."""
        self._charged.update(_identities(delivery.message.headers for delivery in deliveries))

    def hand_out(self, deliveries: Iterable[Delivery]) -> None:
        """These are handed out: what comes back of them counts."""
        if self._charged:
            self._charged.difference_update(_identities(delivery.message.headers for delivery in deliveries))

    def continue_from(self, old: Counting, waiting: Iterable[Mapping[str, Any]]) -> None:
        """Take over from a session that broke.

        Args:
            old: What it knew.
            waiting: Headers of what it had received and not handed out.
        """
        spared = old._spared | old._charged | _identities(waiting)
        self._spared = spared if len(spared) <= _MOST else set()


def identity(headers: Mapping[str, Any]) -> Identity | None:
    """What a message has in common with its copies; a retry is another message.  None: it has no id."""
    task_id = headers.get("id")
    return (task_id, str(headers.get("retries") or 0)) if isinstance(task_id, str) else None


def _identities(many: Iterable[Mapping[str, Any]]) -> set[Identity]:
    return {known for headers in many if (known := identity(headers)) is not None}
