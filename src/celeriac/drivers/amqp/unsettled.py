"""Which messages a channel has received and not settled, and how to acknowledge them in few frames; does no I/O."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Unsettled:
    """Follows the deliveries of one channel, which the server numbers in rising order."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, None] = OrderedDict()
        self._put_off: set[int] = set()

    def add(self, tag: int) -> None:
        """Take in a delivery that has to be settled."""
        self._open[tag] = None

    def settle(self, tag: int) -> None:
        """Take out a delivery that is refused, or that was settled by being delivered."""
        self._open.pop(tag, None)

    def acknowledge(self, tags: Iterable[int], *, put_off: bool) -> list[tuple[int, bool]]:
        """Take out deliveries; see `Channel.ack_many`.

        Returns:
            The acknowledgements to send: tags, and whether each stands for all before it, too.
        """
        opened, acks = self._open, self._put_off
        for tag in tags:
            opened.pop(tag, None)
            acks.add(tag)
        first_open = next(iter(opened), None)
        covered = acks if first_open is None else {tag for tag in acks if tag < first_open}
        found = [(max(covered), True)] if covered else []
        self._put_off = acks = acks - covered
        if not put_off:
            found += [(tag, False) for tag in sorted(acks)]
            acks.clear()
        return found

    @property
    def has_put_off(self) -> bool:
        """Whether acknowledgements are left to a later call."""
        return bool(self._put_off)

    def clear(self) -> None:
        """Forget everything: the channel is gone."""
        self._open.clear()
        self._put_off.clear()
