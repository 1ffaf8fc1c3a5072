"""Messages published into the hold of the session that would fetch them next: their command, and their reading.

Sending it, and what becomes of what is held, is the session's business.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celeriac.broker.envelope import encode_envelope
from celeriac.broker.redis.consuming import read_claims, unacked_tail
from celeriac.exceptions import EncodeError

if TYPE_CHECKING:
    from celeriac.broker.base import RelayAddress
    from celeriac.broker.redis.layout import Layout
    from celeriac.message import Delivery, Publication


class Relays:
    """What a session remembers of the session that it relays to.

    Args:
        layout: Names of keys.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._address: RelayAddress | None = None
        self._keys: tuple[Any, ...] = ()
        self._tails: dict[str, str] = {}

    def arguments(self, item: Publication, address: RelayAddress, tag: str) -> tuple[Any, ...] | None:
        """The arguments of RELAY, of which the third but last is the envelope; None for what is not relayed.

        Raises:
            EncodeError: A header or a property is not JSON.
        """
        destination = item.destination
        queue = destination.routing_key
        if destination.exchange or queue not in address[1]:
            return None
        if item.not_before is not None and item.not_before > time.time():
            return None
        if address is not self._address:
            self._turn_to(address)
        try:
            envelope = encode_envelope(item.message, "", queue, tag)
        except (TypeError, ValueError) as error:
            raise EncodeError(f"a header or property of a message to {queue!r} is not JSON: {error}") from error
        suffix = self._layout.suffix(item.message.properties.get("priority") or 0)
        return (*self._keys, address[0], tag, envelope, self._tails[queue], f"{self._layout.prefix}{queue}{suffix}")

    def _turn_to(self, address: RelayAddress) -> None:
        token, queues = address
        layout = self._layout
        lists = [key for queue in queues for key in layout.lists(queue)]
        self._keys = (
            6 + len(lists), layout.unacked, layout.unacked_index, layout.sessions, layout.session_prefix + token,
            layout.deliveries, layout.malformed, *lists,
        )  # fmt: skip
        self._tails = {queue: unacked_tail(queue) for queue in queues}
        self._address = address


def read_relayed(queue: str, tag: str, envelope: bytes, session_id: int) -> Delivery:
    """The delivery of a message that was relayed to a session."""
    (delivery,) = read_claims([0, 0, tag.encode(), envelope, 0], [queue], session_id)
    delivery.relayed = True
    return delivery
