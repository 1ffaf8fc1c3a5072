"""The file in which Celery's beat keeps its schedule: where it is, and when entries ran last by it.

It holds pickles. They are read without running anything that they name: Celery's own classes have their counterparts
here, and of every other name only the name is kept.
"""

from __future__ import annotations

import dbm
import io
import pickle
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from celeriac.schedules import crontab, schedule, solar

__all__ = ["CeleryEntry", "UnreadableFile", "files_of", "is_celery_file", "read_entries", "renamed"]

#: What the modules of ``dbm`` add to the name.
_SUFFIXES: Final = ("", ".db", ".dat", ".dir", ".bak", ".pag")
#: ``dbm.error`` is a tuple.
_FAILURES: Final[Any] = (sqlite3.Error, ValueError, *dbm.error)
_SQLITE: Final = b"SQLite format 3\0"


class UnreadableFile(Exception):
    """Nothing can be taken from the file."""


class CeleryEntry(NamedTuple):
    """An entry as Celery's beat has pickled it."""

    name: Any = None
    task: Any = None
    last_run_at: Any = None
    total_run_count: Any = None
    schedule: Any = None
    args: Any = ()
    kwargs: Any = None
    options: Any = None


# ---------------------------------------------------------------------------------------------------- where it is


def is_celery_file(path: Path) -> bool:
    """Whether a file at the very path is of Celery's beat, and not a schedule of ours."""
    if not _is_sqlite(path):
        return dbm.whichdb(str(path)) == "dbm.gnu"
    # Where Python 3.13 and later keep shelves.
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return "Dict" in tables and "celeriac_schedule" not in tables


def _is_sqlite(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return False


def files_of(path: Path) -> Path | None:
    """What to open for the schedule that Celery's beat has left at, or beside, a path; None when there is none."""
    if is_celery_file(path):
        return path
    aside = sorted(path.parent.glob(f"{path.name}.celery-*"))
    if aside:
        return aside[-1]
    beside = any(Path(f"{path}{suffix}").exists() for suffix in (".db", ".dat", ".dir"))
    return path if beside else None


def renamed(path: Path, base: Path, word: str) -> Path:
    """Put a schedule aside, under a name that ``dbm`` opens as well; returns that name.

    Args:
        path: What was opened.
        base: Whose name the new one is made of.
        word: Between the two: the name, and the time of day.
    """
    to = base.with_name(f"{base.name}.{word}-{time.strftime('%Y%m%d-%H%M%S')}")
    # What is at the path itself is ours, where Celery's files have suffixes.
    suffixes = ("",) if is_celery_file(path) or path != base else _SUFFIXES[1:]
    for suffix in suffixes:
        one = Path(f"{path}{suffix}")
        if one.exists():
            one.rename(f"{to}{suffix}")
    return to


# ----------------------------------------------------------------------------------------------------- what it says


def read_entries(path: Path, zone: str | None, enable_utc: bool) -> dict[str, CeleryEntry]:
    """The entries of a schedule.

    Args:
        path: From `files_of`.
        zone: The app's setting ``timezone``.
        enable_utc: The app's setting of this name.

    Raises:
        UnreadableFile: It is damaged, of another kind, or of another time zone.
    """
    values = _values(path)
    if "entries" not in values:
        raise UnreadableFile("it has no entries")
    theirs = {name: _unpickled(values[name]) for name in ("tz", "utc_enabled") if name in values}
    ours = {"tz": zone, "utc_enabled": enable_utc}
    for name, value in theirs.items():
        if value is not None and value != ours[name]:
            raise UnreadableFile(f"it was written with {name} {value!r}, and the app has {ours[name]!r}")
    entries = _unpickled(values["entries"])
    if not isinstance(entries, dict):
        raise UnreadableFile(f"its entries are a {type(entries).__name__}")
    return {name: entry for name, entry in entries.items() if isinstance(entry, CeleryEntry)}


def _values(path: Path) -> dict[str, bytes]:
    """What is stored, by name, still pickled."""
    try:
        if is_celery_file(path) and _is_sqlite(path):
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                pairs = database.execute("SELECT key, value FROM Dict").fetchall()
        else:
            with dbm.open(str(path), "r") as shelf:
                pairs = [(name, shelf[name]) for name in shelf.keys()]  # noqa: SIM118 - they are no mappings
    except _FAILURES as exc:
        raise UnreadableFile(str(exc)) from exc
    return {bytes(name).decode("utf-8", "replace"): bytes(value) for name, value in pairs}


class _Unknown(tzinfo):
    """Stands for whatever a pickle names that is not known here; takes whatever it is given."""

    named = ("", "")

    def __new__(cls, *args: Any, **kwargs: Any) -> _Unknown:
        return tzinfo.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None

    dst = utcoffset

    def tzname(self, dt: datetime | None) -> str | None:
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> _Unknown:
        return self

    def append(self, item: Any) -> None:
        """As of a list."""

    def extend(self, items: Any) -> None:
        """As of a list."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """As of a dict."""


class _Crontab(crontab):
    def __setstate__(self, state: Any) -> None:
        """Celery's keeps here what it was called with besides its fields."""


def _made(cls: Any) -> Any:
    """Makes a schedule, or something that equals none when Celery's arguments are of no use here."""

    def make(*args: Any) -> Any:
        try:
            return cls(*args)
        except Exception:
            return _Unknown()

    return make


def _zone(name: str, *args: Any) -> tzinfo:
    return ZoneInfo(name)


def _attribute(of: Any, name: str) -> Any:
    """What pickles get from classes: the way in which zones are read."""
    return _zone if of is _zone and name == "_unpickle" else _Unknown()


#: Names that pickles of Celery's beat hold, and what they stand for here.
_KNOWN: Final[dict[tuple[str, str], Any]] = {
    ("celery.beat", "ScheduleEntry"): CeleryEntry,
    ("celery.schedules", "crontab"): _made(_Crontab),
    ("celery.schedules", "schedule"): _made(schedule),
    ("celery.schedules", "solar"): _made(solar),
    ("datetime", "datetime"): datetime,
    ("datetime", "timedelta"): timedelta,
    ("datetime", "timezone"): timezone,
    ("zoneinfo", "ZoneInfo"): _zone,
    ("zoneinfo", "ZoneInfo._unpickle"): _zone,
    ("builtins", "getattr"): _attribute,
    ("pytz", "_UTC"): lambda: UTC,
    ("pytz", "_p"): _zone,
    **{("builtins", each.__name__): each for each in (set, frozenset, range, bytearray, complex)},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((module, name))
        return found if found is not None else type(name, (_Unknown,), {"named": (module, name)})

    def persistent_load(self, pid: Any) -> Any:
        return None


def _unpickled(data: bytes) -> Any:
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as exc:
        raise UnreadableFile(f"a pickle in it cannot be read: {exc}") from exc


def is_same_schedule(theirs: Any, ours: Any) -> bool:
    """Whether an entry's schedule is what it was when Celery's beat wrote it; of unknown classes, the class."""
    if isinstance(theirs, _Unknown):
        return theirs.named == (type(ours).__module__, type(ours).__qualname__)
    return bool(theirs == ours)
