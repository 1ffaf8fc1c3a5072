"""Schedules: when something runs again and again.  Arithmetic on aware instants; who runs it is beat."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from celeriac.schedules.base import BaseSchedule, schedstate
from celeriac.schedules.cronfield import ParseException, crontab_parser
from celeriac.schedules.crontab import crontab
from celeriac.schedules.interval import clocked, schedule
from celeriac.schedules.solar import solar

__all__ = [
    "BaseSchedule",
    "ParseException",
    "clocked",
    "crontab",
    "crontab_parser",
    "maybe_schedule",
    "schedstate",
    "schedule",
    "solar",
]


def maybe_schedule(value: Any, relative: bool = False, app: Any = None) -> Any:
    """The schedule that a value stands for.

    Args:
        value: Seconds, a timedelta, a datetime (once), or a schedule, which is returned bound to the app.
        relative: See `schedule`.
        app: The application.

    Raises:
        TypeError: It stands for none.
    """
    if isinstance(value, bool) or value is None:
        raise TypeError(f"{value!r} is no schedule: use seconds, a timedelta, crontab(…) or another schedule")
    if isinstance(value, int | float | timedelta):
        return schedule(value, relative, app=app)
    if isinstance(value, datetime):
        return clocked(value, app=app)
    if not hasattr(value, "is_due"):
        raise TypeError(f"{value!r} is no schedule: use seconds, a timedelta, crontab(…) or another schedule")
    if app is not None:
        value.app = app
    return value
