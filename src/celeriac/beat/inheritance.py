"""What a new store takes over from Celery's beat: when entries ran last, so that none runs too often or too late."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from celeriac.beat.record import Record, fingerprint_of
from celeriac.beat.scheduler import logger
from celeriac.utils.time import to_utc

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from celeriac.app.base import Celery
    from celeriac.beat.celery_file import CeleryEntry

__all__ = ["Inheritance"]


class Inheritance:
    """The times of a schedule of Celery's.

    Args:
        path: What was read.
        base: Where Celery's beat would keep its schedule.
        entries: What was found.
    """

    def __init__(self, path: Path, base: Path, entries: dict[str, CeleryEntry]) -> None:
        self._path = path
        self._base = base
        self._entries = entries
        self._taken = 0

    @classmethod
    def of_celery(cls, base: Path | None, app: Celery) -> Inheritance | None:
        """Read what Celery's beat has left; None when there is nothing, or nothing of use."""
        from celeriac.beat.celery_file import UnreadableFile, files_of, read_entries

        path = None if base is None else files_of(base)
        if base is None or path is None:
            return None
        try:
            return cls(path, base, read_entries(path, app.conf.timezone, bool(app.conf.enable_utc)))
        except UnreadableFile as exc:
            logger.warning(
                "beat: When entries ran last cannot be taken over from Celery's schedule file %s: %s. Intervals are "
                "counted from now, and what was due while no beat ran is left out",
                path, exc,
            )  # fmt: skip
            return None

    def record(self, name: str, entry: Any, now: float) -> Record | None:
        """Where an entry stands; None where Celery's beat knew none of this name, or another schedule of it."""
        from celeriac.beat.celery_file import is_same_schedule

        theirs = self._entries.get(name)
        if theirs is None or not isinstance(theirs.last_run_at, datetime):
            return None
        if not is_same_schedule(theirs.schedule, entry.schedule):
            return None
        # One that has not run yet has the time at which it was added.
        ran = min(to_utc(theirs.last_run_at).timestamp(), now)
        count = theirs.total_run_count if isinstance(theirs.total_run_count, int) else 0
        self._taken += 1
        return Record(ran, fingerprint_of(entry.schedule), count=count, last_run_at=ran if count else None)

    def finish(self) -> None:
        """All is in the store: put the file where it is not taken over again."""
        from celeriac.beat.celery_file import renamed

        kept = renamed(self._path, self._base, "taken-over")
        logger.info(
            "beat: Took over from Celery's schedule file %s when %d entries ran last; it is kept as %s",
            self._path, self._taken, kept,
        )  # fmt: skip
