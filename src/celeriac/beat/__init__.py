"""Beat: sends periodic tasks when they are due.  Schedules themselves are in `celeriac.schedules`."""

from __future__ import annotations

from celeriac.beat.entry import BeatLazyFunc, ScheduleEntry
from celeriac.beat.persistent import PersistentScheduler
from celeriac.beat.scheduler import DEFAULT_MAX_INTERVAL, Scheduler, SchedulingError, event_t
from celeriac.beat.service import EmbeddedService, Service
from celeriac.schedules import crontab, schedstate

__all__ = [
    "DEFAULT_MAX_INTERVAL",
    "BeatLazyFunc",
    "EmbeddedService",
    "PersistentScheduler",
    "ScheduleEntry",
    "Scheduler",
    "SchedulingError",
    "Service",
    "crontab",
    "event_t",
    "schedstate",
]
