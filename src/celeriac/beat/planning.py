"""Which runs of an entry are to be sent now.  Pure: times in, a plan out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.beat.entry import run_all_limit
from celeriac.beat.record import moment
from celeriac.schedules import crontab
from celeriac.schedules import schedule as interval
from celeriac.utils.time import to_utc

if TYPE_CHECKING:
    from celeriac.beat.record import Record

__all__ = ["Plan", "next_run", "plan"]


class Plan(NamedTuple):
    """What to do about an entry.

    Attributes:
        due: Unix time of the run to send; None when there is none.
        after: The anchor once it is sent.
        anchor: The anchor until then; greater than the record's when runs are left out.
    """

    due: float | None
    after: float
    anchor: float


def next_run(schedule: Any, anchor: float) -> float | None:
    """Unix time of the first run after another; None when there is none."""
    found = schedule.following(moment(anchor))
    return None if found is None else to_utc(found).timestamp()


def plan(entry: Any, record: Record, now: float, *, seen: float, grace: float, deadline: float | None) -> Plan:
    """Decide about an entry.

    Runs that came due after the last look are sent one by one, however slow this machine is; runs that had been due
    at the last look already, or while nobody looked, are missed, and the entry's policy says what becomes of them.

    Args:
        entry: The entry.
        record: Where it stands.
        now: Unix time.
        seen: Unix time of the last look; ``now`` when there was none, or the clock was set since.
        grace: Seconds that a run may be late with the policy ``skip``.
        deadline: The same for crontabs with any policy, or None.
    """
    schedule, anchor = entry.schedule, record.anchor
    late = _allowed_lateness(entry, grace, deadline)
    if late is not None:
        anchor = _skipped(schedule, anchor, now - late)
    limit = run_all_limit(entry.misfire)
    if limit is not None:
        anchor = _last_missed(schedule, anchor, seen, limit)
    due = next_run(schedule, anchor)
    if due is None or due > now:
        return Plan(None, anchor, anchor)
    if limit is None:
        second = next_run(schedule, due)
        if second is not None and second <= seen:
            return Plan(due, _latest(schedule, due, seen), anchor)
    return Plan(due, due, anchor)


def _allowed_lateness(entry: Any, grace: float, deadline: float | None) -> float | None:
    """Seconds that a run may be late before it is left out; None for any number."""
    limits = [grace] if entry.misfire == "skip" else []
    if deadline is not None and isinstance(entry.schedule, crontab):
        limits.append(deadline)
    return min(limits, default=None)


def _skipped(schedule: Any, anchor: float, before: float) -> float:
    """The anchor without the runs before a time."""
    first = next_run(schedule, anchor)
    return anchor if first is None or first >= before else _latest(schedule, anchor, before)


def _last_missed(schedule: Any, anchor: float, seen: float, limit: int) -> float:
    """The anchor after which at most so many runs were missed."""
    if isinstance(schedule, interval) and not schedule.relative:
        # Seconds missed for weeks are not worth counting.
        return max(anchor, _latest(schedule, anchor, seen) - limit * schedule.seconds)
    times = deque([anchor], maxlen=limit + 1)
    while (time := next_run(schedule, times[-1])) is not None and time <= seen:
        times.append(time)
    return times[0]


def _latest(schedule: Any, anchor: float, now: float) -> float:
    return float(to_utc(schedule.latest(moment(anchor), moment(now))).timestamp())
