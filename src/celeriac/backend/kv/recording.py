"""Recording parts of a chord in a key-value store, in steps that may be done again after a crash between any two.

1. A worker that is about to count the last part of a block notes that in the tally. Whoever thereby learns that all
   blocks may soon be full keeps the body, and lists the chord as due.
2. It keeps the parts, and counts them.
3. It notes in the tally which blocks are full. Whoever makes that all of them has completed the chord.

So a chord of which all parts are counted is listed with its body, whether or not anyone came to the third step.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from celeriac.backend.base import ChordProgress
from celeriac.backend.kv.added import append_added, read_added
from celeriac.backend.kv.tally import COMPLETE, OPEN, Tally
from celeriac.exceptions import BackendStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from celeriac.backend.base import ChordPart
    from celeriac.backend.kv.driver import Stored
    from celeriac.backend.kv.due import DueChords
    from celeriac.backend.kv.layout import ChordKeys, Shape
    from celeriac.backend.kv.values import Values

logger = logging.getLogger("celeriac.backend.chords")


class KeptChord:
    """A chord in the store.

    Args:
        chord_id: The chord.
        keys: Its keys.
        values: Where they are kept.
    """

    def __init__(self, chord_id: str, keys: ChordKeys, values: Values) -> None:
        self.chord_id, self.keys, self.values = chord_id, keys, values

    def tally(self) -> Tally | None:
        """What is known about it; None if it was never opened, or has expired."""
        stored = self.values.read([self.keys.tally]).get(self.keys.tally)
        return None if stored is None else Tally.decode(stored.data)

    def note(self, change: Callable[[Tally], object]) -> Tally | None:
        """Change what is known about it; returns that as it is now, or None if the chord is not open."""
        noted: list[Tally] = []

        def changed(data: bytes | None) -> bytes | None:
            noted.clear()
            if data is None or (tally := Tally.decode(data)).state != OPEN:
                return None
            change(tally)
            noted.append(tally)
            return tally.encode()

        self.values.change(self.keys.tally, changed)
        return noted[0] if noted else None

    def finish(self, blocks: int, added: int) -> bool:
        """Note that blocks are full, and so many added parts counted; whether this very call completes the chord."""
        tally = self.note(lambda tally: tally.finish(blocks, added))
        return tally is not None and tally.state == COMPLETE

    def counted(self, shape: Shape) -> dict[int, int]:
        """The bits of each block that is there."""
        found = self.values.read(self.keys.blocks(shape))
        blocks = ((block, found.get(self.keys.block(shape, block))) for block in range(shape.blocks))
        return {block: int(stored.data, 16) for block, stored in blocks if stored is not None}


class Recording:
    """One call that records parts.

    Args:
        chord: The chord.
        shape: How its parts are counted.
        parts: What ended, with the form in which it is kept. The first end of a task counts.
        body: What concludes the chord, or None.
        lease: Seconds the caller has for that.
    """

    def __init__(
        self,
        chord: KeptChord,
        shape: Shape,
        parts: Sequence[tuple[ChordPart, bytes]],
        body: bytes | None,
        lease: float,
    ) -> None:
        self._chord, self._values, self._keys = chord, chord.values, chord.keys
        self._shape, self._body, self._lease = shape, body, lease
        self._by_index: dict[int, bytes] = {}
        self._bits: dict[int, int] = {}
        self._added: dict[str, int | None] = {}
        self._added_data: dict[str, bytes] = {}
        for part, data in parts:
            if part.index is not None and 0 <= part.index < shape.size:
                block, bit = shape.place(part.index)
                self._bits[block] = self._bits.get(block, 0) | bit
                self._by_index.setdefault(part.index, data)
            else:
                self._added.setdefault(part.task_id, part.index)
                self._added_data.setdefault(part.task_id, data)

    def attempt(self, due: DueChords) -> ChordProgress | None:
        """Record them; None if others changed something meanwhile, so that it has to be done again.

        Raises:
            LookupError: What is counted of the chord is not there.
        """
        blocks = self._read_blocks()
        listed = read_added(self._values, self._keys) if self._added else None
        total = len(listed.indexes.keys() | self._added) if listed is not None else 0
        filled = self._filled(blocks)
        if filled or total:
            progress = self._begin(filled, total, due)
            if progress is not None:
                return progress
        self._keep(blocks, listed.indexes if listed is not None else {})
        if not self._count(blocks):
            return None
        if listed is not None and not append_added(self._values, self._keys, listed, self._added):
            return None
        if (filled or total) and self._chord.finish(filled, total):
            return ChordProgress.COMPLETE
        return ChordProgress.RECORDED

    def _read_blocks(self) -> dict[int, Stored]:
        """The blocks of these parts."""
        keys = {block: self._keys.block(self._shape, block) for block in self._bits}
        found = self._values.read(list(keys.values()))
        if len(found) < len(keys):
            raise LookupError
        return {block: found[key] for block, key in keys.items()}

    def _filled(self, blocks: Mapping[int, Stored]) -> int:
        """Bits of the blocks that are full with these parts."""
        bits = ((block, int(there.data, 16) | self._bits[block]) for block, there in blocks.items())
        return sum(1 << block for block, after in bits if after == self._shape.whole(block))

    def _begin(self, filled: int, total: int, due: DueChords) -> ChordProgress | None:
        """The first step; what to answer if it is the last one."""
        is_all = False

        def change(tally: Tally) -> None:
            nonlocal is_all
            is_all = tally.begin(filled, total)

        if self._chord.note(change) is None:
            return ChordProgress.RECORDED
        if is_all:
            if self._body is None:
                return ChordProgress.BODY_WANTED
            self._keep_body(self._body, due)
        return None

    def _keep_body(self, body: bytes, due: DueChords) -> None:
        chord_id = self._chord.chord_id
        try:
            self._values.put({self._keys.body: body})
        except BackendStoreError as exc:
            # Whoever completes the chord has it in a message.
            logger.warning("The body of chord %s is lost if the worker dies before it is sent: %s", chord_id, exc)
        else:
            due.add(chord_id, self._lease)

    def _keep(self, blocks: Mapping[int, Stored], listed: Mapping[str, Any]) -> None:
        counted = {block: int(there.data, 16) for block, there in blocks.items()}
        new = {}
        for index, data in self._by_index.items():
            block, bit = self._shape.place(index)
            if not counted[block] & bit:
                new[self._keys.part(index)] = data
        new |= {self._keys.added_part(id_): data for id_, data in self._added_data.items() if id_ not in listed}
        self._values.create(new)

    def _count(self, blocks: Mapping[int, Stored]) -> bool:
        for block, there in blocks.items():
            before = int(there.data, 16)
            after = before | self._bits[block]
            key = self._keys.block(self._shape, block)
            if after != before and not self._values.swap(key, b"%x" % after, there.version):
                return False
        return True
