"""The chord methods of backends whose chords are kept by an object of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celeriac.backend.base import ChordPart, ChordProgress


class ChordKeeper(Protocol):
    """Chords in one kind of store; each method is that of `ResultBackend` with the longer name."""

    def open(self, chord_id: str, size: int) -> None: ...

    def grow(self, chord_id: str, count: int) -> None: ...

    def add(self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, lease: float) -> ChordProgress: ...

    def load(self, chord_id: str) -> list[ChordPart] | None: ...

    def close(self, chord_id: str) -> None: ...

    def take(self, lease: float) -> list[tuple[str, bytes]]: ...

    def claim(self, name: str, token: str) -> str: ...


class JoinsChords:
    """Passes on to the keeper; a base class of backends."""

    _chords: ChordKeeper

    def open_chord(self, chord_id: str, size: int) -> None:
        self._chords.open(chord_id, size)

    def grow_chord(self, chord_id: str, count: int) -> None:
        self._chords.grow(chord_id, count)

    def add_chord_parts(
        self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, *, lease: float
    ) -> ChordProgress:
        return self._chords.add(chord_id, parts, body, lease)

    def load_chord(self, chord_id: str) -> list[ChordPart] | None:
        return self._chords.load(chord_id)

    def close_chord(self, chord_id: str) -> None:
        self._chords.close(chord_id)

    def take_chords(self, *, lease: float) -> list[tuple[str, bytes]]:
        return self._chords.take(lease)

    def claim(self, name: str, token: str) -> str:
        return self._chords.claim(name, token)
