"""What is kept about a chord as a whole: which of its blocks of parts are full.  It knows no store."""

from __future__ import annotations

from celeriac.backend.kv.layout import Shape
from celeriac.serialization.json_types import dumps, loads
from celeriac.utils.dataclass import dataclass

OPEN, COMPLETE, CLOSED = "open", "complete", "closed"


@dataclass
class Tally:
    """What is kept about a chord under one key.

    Attributes:
        size: Parts it was opened with.
        grown: Parts that were added to that.
        begun: Bits of blocks of which the last part was there, and was going to be counted.
        full: Bits of blocks of which all parts are counted.
        added_begun: Added parts that were there, and were going to be counted.
        added: Added parts that are counted; both are noted only when they are enough.
        state: `OPEN`, `COMPLETE` or `CLOSED`.
    """

    size: int
    grown: int = 0
    begun: int = 0
    full: int = 0
    added_begun: int = 0
    added: int = 0
    state: str = OPEN

    def encode(self) -> bytes:
        """The stored form."""
        return dumps(
            {"size": self.size, "grown": self.grown, "begun": f"{self.begun:x}", "full": f"{self.full:x}",
             "added_begun": self.added_begun, "added": self.added, "state": self.state}
        )  # fmt: skip

    @classmethod
    def decode(cls, data: bytes) -> Tally:
        """From the stored form."""
        kept = loads(data)
        return cls(**{**kept, "begun": int(kept["begun"], 16), "full": int(kept["full"], 16)})

    def begin(self, blocks: int, added: int) -> bool:
        """Note that these blocks, and so many added parts, are about to be there; whether that is all."""
        self.begun |= blocks
        if added >= self.grown:
            self.added_begun = max(self.added_begun, added)
        return self.begun == self._all() and self.added_begun >= self.grown

    def finish(self, blocks: int, added: int) -> None:
        """Note that they are there; the chord is complete if that is all."""
        self.full |= blocks
        if added >= self.grown:
            self.added = max(self.added, added)
        if self.full == self._all() and self.added >= self.grown:
            self.state = COMPLETE

    def _all(self) -> int:
        return (1 << Shape(self.size).blocks) - 1
