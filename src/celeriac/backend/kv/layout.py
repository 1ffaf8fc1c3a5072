"""Under which keys a chord is kept, and how its parts are shared out among blocks.

A part of a chord sets its bit in the block of its index; a bit may be set twice, which is why nothing is counted.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from celeriac.backend.keys import CHORD_PREFIX
from celeriac.utils.dataclass import dataclass

#: Parts in a block, and neighbours among them.
BLOCK: Final = 64
_RUN: Final = 8


@dataclass(frozen=True)
class Shape:
    """How the parts of a chord are shared out among blocks.

    Parts that end at the same time have neighbouring indexes. A few neighbours are in one block, so that a worker that
    records several at once changes few blocks; those that come after are in another one, so that workers seldom meet.

    Attributes:
        size: Parts the chord was opened with.
    """

    size: int

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return max(-(-self.size // BLOCK), 1)

    def place(self, index: int) -> tuple[int, int]:
        """The block of a part, and its bit there."""
        run, neighbour = divmod(index, _RUN)
        round_, block = divmod(run, self.blocks)
        return block, 1 << round_ * _RUN + neighbour

    def whole(self, block: int) -> int:
        """All bits of a block."""
        return sum(self.parts(block))

    def parts(self, block: int) -> dict[int, int]:
        """The parts of a block by their bits."""
        starts = range(block * _RUN, self.size, self.blocks * _RUN)
        indexes = (index for start in starts for index in range(start, min(start + _RUN, self.size)))
        return {self.place(index)[1]: index for index in indexes}


class ChordKeys:
    """The keys of a chord.

    Args:
        prefix: ``global_keyprefix``, with its separator.
        chord_id: The chord.
    """

    def __init__(self, prefix: str, chord_id: str) -> None:
        self._start = f"{prefix}{CHORD_PREFIX}{chord_id}"

    @property
    def tally(self) -> str:
        """Of what is known about it as a whole."""
        return f"{self._start}.tally"

    @property
    def body(self) -> str:
        """Of its body."""
        return f"{self._start}.body"

    def block(self, shape: Shape, block: int) -> str:
        """Of the bits of a block."""
        return f"{self._start}.block-{block}-of-{shape.blocks}"

    def blocks(self, shape: Shape) -> list[str]:
        """Of all blocks."""
        return [self.block(shape, block) for block in range(shape.blocks)]

    def part(self, index: int) -> str:
        """Of the part with this index."""
        return f"{self._start}.part-{index}"

    def added_page(self, number: int) -> str:
        """Of a page of the list of parts that were added later."""
        return f"{self._start}.added-{number}"

    def added_part(self, task_id: str) -> str:
        """Of a part that was added later."""
        return f"{self._start}.added-part-{quote(task_id, safe='')}"
