"""What a schedule store keeps of an entry: where it stands in time, and, for entries added at run time, what it is.

Text in and out; nothing here knows the present time.
"""

from __future__ import annotations

import json
from copy import copy
from datetime import UTC, datetime
from typing import Any, Final

from celeriac.beat.entry import ScheduleEntry, run_all_limit
from celeriac.exceptions import ImproperlyConfigured
from celeriac.schedules import clocked, crontab, schedule, solar
from celeriac.utils.dataclass import dataclass, replace

__all__ = ["Record", "describe", "entry_of", "fingerprint_of", "moment", "overridden", "schedule_of"]

#: Besides its schedule.
_OVERRIDABLE: Final = ("task", "args", "kwargs", "options", "misfire")


@dataclass(frozen=True)
class Record:
    """Where an entry stands.

    Attributes:
        anchor: Unix time up to which its runs are dealt with: the next is the first one after it.
        fingerprint: The schedule that the anchor belongs to; with another one, counting begins anew.
        definition: What it is, for an entry added at run time; None for one of ``beat_schedule``.
        enabled: It is not paused.
        count: How many runs were sent.
        last_run_at: Unix time of the last one.
        claimed: A run that is being sent: its time, and the anchor once it is sent; None for none.
        requested: Unix time of a run that a person asked for.
        override: What a person has changed of an entry of ``beat_schedule``, as in a definition; None for nothing.
    """

    anchor: float
    fingerprint: str
    definition: dict[str, Any] | None = None
    enabled: bool = True
    count: int = 0
    last_run_at: float | None = None
    claimed: list[float] | None = None
    requested: float | None = None
    override: dict[str, Any] | None = None

    def dump(self) -> str:
        """As text; what is as in a new record is left out."""
        given = {name: getattr(self, name) for name in _FIELDS}
        return _write(
            {name: value for name, value in given.items() if name not in _DEFAULTS or value != _DEFAULTS[name]}
        )

    @classmethod
    def load(cls, text: str) -> Record:
        """From text; what a newer version has added is left out.

        Raises:
            ValueError: It is no record.
        """
        found = json.loads(text)
        if not isinstance(found, dict) or not isinstance(found.get("anchor"), int | float):
            raise ValueError(f"not a record of a schedule: {text[:80]!r}")
        known = {name: value for name, value in found.items() if name in _FIELDS}
        return cls(**{"fingerprint": "", **known})

    def changed(self, **changes: Any) -> Record:
        """A copy with some fields changed."""
        return replace(self, **changes)


_FIELDS = Record.__match_args__
_DEFAULTS: Final = {name: getattr(Record(0.0, ""), name) for name in _FIELDS[2:]}
#: One encoder for all: `json.dumps` with options makes one for every call.
_write = json.JSONEncoder(separators=(",", ":")).encode


def moment(seconds: float) -> datetime:
    """A Unix time as an aware datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def fingerprint_of(value: Any) -> str:
    """Text that differs where schedules do, their zone included."""
    text = repr(value)
    if isinstance(value, crontab):
        return f"{text} {value.tz}"
    return f"{text} relative {value.tz}" if getattr(value, "relative", False) else text


# ----------------------------------------------------------------------------------------- entries made at run time


def describe(value: Any, zone: str | None = None) -> dict[str, Any]:
    """A schedule as JSON.

    Args:
        value: One of the schedules of this package.
        zone: Name of the time zone of a crontab; None is the app's.
    """
    if isinstance(value, crontab):
        fields = {
            "minute": value._orig_minute,
            "hour": value._orig_hour,
            "day_of_week": value._orig_day_of_week,
            "day_of_month": value._orig_day_of_month,
            "month_of_year": value._orig_month_of_year,
        }
        return {"type": "crontab", **fields, "tz": zone}
    if isinstance(value, schedule):
        return {"type": "interval", "seconds": value.seconds, "relative": value.relative}
    if isinstance(value, clocked):
        return {"type": "once", "at": value.clocked_time.isoformat()}
    if isinstance(value, solar):
        return {"type": "solar", "event": value.event, "lat": value.lat, "lon": value.lon}
    return {"type": type(value).__name__, "repr": repr(value)}


def schedule_of(described: dict[str, Any], app: Any) -> Any:
    """A schedule from what `describe` made of it.

    Raises:
        ImproperlyConfigured: It is unknown here, or unusable.
    """
    fields = dict(described)
    kind = fields.pop("type", None)
    try:
        if kind == "crontab":
            return crontab(**fields, app=app)
        if kind == "interval":
            return schedule(fields["seconds"], fields.get("relative", False), app=app)
        if kind == "once":
            return clocked(datetime.fromisoformat(fields["at"]), app=app)
        if kind == "solar":
            return solar(**fields, app=app)
    except (TypeError, ValueError, KeyError) as exc:
        raise ImproperlyConfigured(f"the schedule {described!r} cannot be used: {exc}") from exc
    raise ImproperlyConfigured(f"the schedule {described!r} is of an unknown type {kind!r}")


def overridden(entry: ScheduleEntry, override: dict[str, Any]) -> ScheduleEntry:
    """An entry of ``beat_schedule`` with what a person has changed of it.

    Raises:
        ImproperlyConfigured: The change cannot be used.
    """
    changed = copy(entry)
    for name, value in override.items():
        if name == "schedule":
            changed.schedule = schedule_of(value, entry.app)
        elif name in _OVERRIDABLE:
            setattr(changed, name, tuple(value) if name == "args" else value)
    run_all_limit(changed.misfire)
    return changed


def entry_of(name: str, definition: dict[str, Any], app: Any) -> ScheduleEntry:
    """The entry that a definition stands for.

    Raises:
        ImproperlyConfigured: It cannot be used.
    """
    try:
        return ScheduleEntry(
            name=name,
            task=definition["task"],
            schedule=schedule_of(definition["schedule"], app),
            args=tuple(definition.get("args") or ()),
            kwargs=definition.get("kwargs") or {},
            options=definition.get("options") or {},
            misfire=definition.get("misfire") or "run_once",
            app=app,
        )
    except KeyError as exc:
        raise ImproperlyConfigured(f"the stored entry {name!r} has no {exc}") from exc
