"""`Finding`: one thing that was seen, and what to do about it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from celeriac.utils.dataclass import dataclass

Level: TypeAlias = Literal["ok", "note", "change", "problem"]

#: Levels and their meaning, the worst last.
LEVELS: Final[dict[Level, str]] = {
    "ok": "works",
    "note": "good to know",
    "change": "works, and differs from Celery",
    "problem": "does not work",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was seen.

    Attributes:
        level: One of `LEVELS`.
        area: What was looked at, as ``settings``.
        text: What was seen; it names the object.
        hint: What to change, or ``""``.
    """

    level: Level
    area: str
    text: str
    hint: str = ""
