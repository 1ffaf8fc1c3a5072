"""The methods for chords and graphs of backends that have neither: each says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.backend.base import ChordPart, ChordProgress


class WithoutChords:
    """Refuses chords and graphs; a base class of backends whose capabilities say so."""

    url: str

    def open_chord(self, chord_id: str, size: int) -> None:
        self._refuse()

    def grow_chord(self, chord_id: str, count: int) -> None:
        self._refuse()

    def add_chord_parts(
        self, chord_id: str, parts: Sequence[ChordPart], body: bytes | None, *, lease: float
    ) -> ChordProgress:
        self._refuse()

    def load_chord(self, chord_id: str) -> list[ChordPart] | None:
        self._refuse()

    def close_chord(self, chord_id: str) -> None:
        self._refuse()

    def take_chords(self, *, lease: float) -> list[tuple[str, bytes]]:
        """None: it has no chords."""
        return []

    def claim(self, name: str, token: str) -> str:
        self._refuse()

    def keep_graphs(self, graphs: Mapping[str, bytes]) -> None:
        self._refuse_graphs()

    def load_graph(self, graph_id: str) -> bytes | None:
        self._refuse_graphs()

    def _refuse_graphs(self) -> NoReturn:
        raise NotImplementedError(
            f"The result backend {self.url} does not keep the rest of workflows: give clients and workers one "
            "that does, such as redis://, sqlite:// or db+postgresql://, or set task_graph_inline_max to None"
        )

    def _refuse(self) -> NoReturn:
        raise NotImplementedError(chords_refused(self.url))


def chords_refused(url: str) -> str:
    """What to say when a chord is sent with such a backend."""
    return (
        f"A chord needs a result backend that keeps the results of its header, and {url} does not: set result_backend "
        "to a store such as redis://, sqlite:// or db+postgresql://, in clients and workers"
    )
