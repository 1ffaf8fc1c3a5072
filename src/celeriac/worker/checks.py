"""Mistakes in settings that only some task would come upon later: a worker tells of them before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["check_settings"]


def check_settings(app: Celery) -> None:
    """Look at what tasks of this worker, or its beat, are going to need.

    Raises:
        ImproperlyConfigured: ``task_routes`` or ``beat_schedule`` cannot be used.
    """
    # Made of task_routes at its first use: a client finds out with its first call.
    _ = app.router
    _check_schedule(app.conf.beat_schedule)


def _check_schedule(schedule: Any) -> None:
    if schedule is None:
        return
    if not isinstance(schedule, Mapping):
        raise ImproperlyConfigured(f"beat_schedule has to be a dict of entries by name, got {schedule!r}")
    for name, entry in schedule.items():
        # Objects are entries of beat already.
        if isinstance(entry, Mapping) and (missing := [key for key in ("task", "schedule") if key not in entry]):
            raise ImproperlyConfigured(f"The entry {name!r} of beat_schedule has no {missing[0]}: {entry!r}")
        if not isinstance(entry, Mapping) and not hasattr(entry, "schedule"):
            raise ImproperlyConfigured(f"The entry {name!r} of beat_schedule has to be a dict, got {entry!r}")
