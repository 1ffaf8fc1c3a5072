"""Chords in key-value stores, by nothing but values that are created once or changed in one step."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from celeriac import states
from celeriac.backend.base import ChordPart, ChordProgress
from celeriac.backend.codec import ResultCodec
from celeriac.backend.keys import CLAIM_PREFIX, DUE_PREFIX
from celeriac.backend.kv.added import read_added
from celeriac.backend.kv.driver import ABSENT
from celeriac.backend.kv.due import DueChords
from celeriac.backend.kv.layout import ChordKeys, Shape
from celeriac.backend.kv.recording import KeptChord, Recording
from celeriac.backend.kv.tally import CLOSED, COMPLETE, OPEN, Tally
from celeriac.backend.kv.values import Values, attempts
from celeriac.backend.retention import chord_lifetime
from celeriac.exceptions import BackendGetMetaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.backend.base import BackendOptions
    from celeriac.backend.kv.driver import Driver

logger = logging.getLogger("celeriac.backend.chords")

#: Chords whose size a process remembers.
_REMEMBERED: Final = 1000


class KeyValueChords:
    """The part of the backend that joins chords.

    Args:
        options: Lifetimes and serializer.
        driver: The store.
        prefix: ``global_keyprefix``, with its separator.
    """

    def __init__(self, options: BackendOptions, driver: Driver, prefix: str) -> None:
        self._codec = ResultCodec(options)
        self._values = Values(driver, chord_lifetime(options))
        self._due = DueChords(self._values, prefix + DUE_PREFIX)
        self._prefix = prefix
        self._sizes: dict[str, int] = {}

    def _chord(self, chord_id: str) -> KeptChord:
        return KeptChord(chord_id, ChordKeys(self._prefix, chord_id), self._values)

    def open(self, chord_id: str, size: int) -> None:
        """See `ResultBackend.open_chord`."""
        keys = ChordKeys(self._prefix, chord_id)
        # A chord is known when all else is there.
        self._values.put(dict.fromkeys(keys.blocks(Shape(size)), b"0"))
        self._values.put({keys.tally: Tally(size).encode()})

    def grow(self, chord_id: str, count: int) -> None:
        """See `ResultBackend.grow_chord`."""

        def change(tally: Tally) -> None:
            tally.grown += count

        self._chord(chord_id).note(change)

    # --- recording

    def add(self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, lease: float) -> ChordProgress:
        """See `ResultBackend.add_chord_parts`."""
        encoded = [(part, self._codec.encode_part(part)) for part in parts]
        chord = self._chord(chord_id)
        for _ in attempts(f"parts of chord {chord_id} in {self._values.url} were not counted"):
            size = self._size_of(chord)
            if size is None:
                break
            try:
                progress = Recording(chord, Shape(size), encoded, body, lease).attempt(self._due)
            except LookupError:
                if self._is_gone(chord, size):
                    break
                continue
            if progress is not None:
                return progress
        return ChordProgress.RECORDED

    def _size_of(self, chord: KeptChord) -> int | None:
        """How many parts a chord was opened with; None if it is not open."""
        size = self._sizes.get(chord.chord_id)
        if size is None:
            tally = chord.tally()
            if tally is None or tally.state == CLOSED:
                return None
            if len(self._sizes) >= _REMEMBERED:
                self._sizes.clear()
            size = self._sizes[chord.chord_id] = tally.size
        return size

    def _is_gone(self, chord: KeptChord, size: int) -> bool:
        """Blocks are missing: whether it is because the chord is closed, or else lost, and not opened again."""
        self._sizes.pop(chord.chord_id, None)
        tally = chord.tally()
        if tally is None or tally.state == CLOSED:
            return True
        if tally.size == size:
            logger.error(
                "Chord %s will never be complete: %s has lost which of its parts are there",
                chord.chord_id, self._values.url,
            )  # fmt: skip
            return True
        return False

    # --- concluding

    def load(self, chord_id: str) -> list[ChordPart] | None:
        """See `ResultBackend.load_chord`."""
        chord = self._chord(chord_id)
        tally = chord.tally()
        if tally is None or tally.state == CLOSED:
            return None
        keys, shape = chord.keys, Shape(tally.size)
        added = read_added(self._values, keys).indexes if tally.grown else {}
        wanted: dict[str, tuple[str, int | None]] = {}
        for index in _indexes(chord, tally, shape):
            wanted[keys.part(index)] = (f"at index {index}", index)
        last = float("inf")
        for task_id, place in sorted(added.items(), key=lambda item: last if item[1] is None else item[1]):
            wanted[keys.added_part(task_id)] = (task_id, place)
        found = self._values.read(list(wanted))
        return [
            self._codec.decode_part(found[key].data, index) if key in found else self._lost(chord_id, task_id, index)
            for key, (task_id, index) in wanted.items()
        ]

    def _lost(self, chord_id: str, task_id: str, index: int | None) -> ChordPart:
        """What is known about a part that was counted, and that the store has dropped."""
        error = BackendGetMetaError(f"this part of chord {chord_id} is not in {self._values.url} any more")
        return ChordPart(task_id, index, states.FAILURE, error)

    def close(self, chord_id: str) -> None:
        """See `ResultBackend.close_chord`."""
        chord = self._chord(chord_id)
        keys, tally = chord.keys, chord.tally()
        if tally is not None and tally.state != CLOSED:
            shape = Shape(tally.size)
            added = read_added(self._values, keys) if tally.grown else None
            tally.state = CLOSED
            self._values.put({keys.tally: tally.encode()})
            doomed = [keys.body, *keys.blocks(shape), *map(keys.part, range(tally.size))]
            if added is not None:
                doomed += map(keys.added_page, range(added.page + 1))
                doomed += map(keys.added_part, added.indexes)
            self._values.delete(doomed)
        self._due.remove(chord_id)
        self._sizes.pop(chord_id, None)

    def take(self, lease: float) -> list[tuple[str, bytes]]:
        """See `ResultBackend.take_chords`."""
        taken = []
        for chord_id in self._due.take(lease):
            chord = self._chord(chord_id)
            tally = self._settled(chord)
            if tally is None or tally.state == CLOSED:
                self._due.remove(chord_id)
            elif tally.state == COMPLETE:
                body = self._values.read([chord.keys.body]).get(chord.keys.body)
                if body is not None:
                    taken.append((chord_id, body.data))
                    continue
                logger.error("Chord %s is complete, but %s has lost its body", chord_id, self._values.url)
                self._due.remove(chord_id)
        return taken

    def _settled(self, chord: KeptChord) -> Tally | None:
        """What is known about a chord, after noting what a worker that died did not come to."""
        tally = chord.tally()
        if tally is None or tally.state != OPEN:
            return tally
        shape = Shape(tally.size)
        blocks = chord.counted(shape)
        full = sum(1 << block for block, bits in blocks.items() if bits == shape.whole(block))
        added = len(read_added(self._values, chord.keys).indexes) if tally.grown else 0
        chord.finish(full, added)
        return chord.tally()

    # --- claims

    def claim(self, name: str, token: str) -> str:
        """See `ResultBackend.claim`."""
        key = f"{self._prefix}{CLAIM_PREFIX}{quote(name, safe='')}"
        while True:
            if self._values.swap(key, token.encode(), ABSENT):
                return token
            # None: it has just expired.
            if (there := self._values.read([key]).get(key)) is not None:
                return str(there.data.decode())


def _indexes(chord: KeptChord, tally: Tally, shape: Shape) -> list[int]:
    """Those of the parts that are counted."""
    if tally.state == COMPLETE:
        return list(range(tally.size))
    return sorted(
        index for block, bits in chord.counted(shape).items() for bit, index in shape.parts(block).items() if bits & bit
    )
