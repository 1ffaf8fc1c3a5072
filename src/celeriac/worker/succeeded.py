"""Which tasks succeeded here lately: their messages may come once more.  Touched on the coordinator's loop only."""

from __future__ import annotations

import time

from celeriac.utils.environment import number

__all__ = ["SucceededTasks"]

_MAX_VARIABLE, _EXPIRES_VARIABLE = "CELERY_WORKER_SUCCESSFUL_MAX", "CELERY_WORKER_SUCCESSFUL_EXPIRES"
#: Tasks remembered, and seconds, as in Celery.
_MAX, _EXPIRES = 1000, 10800.0


class SucceededTasks:
    """Ids of tasks, the last ones, each for a while.

    ``CELERY_WORKER_SUCCESSFUL_MAX`` says how many, ``CELERY_WORKER_SUCCESSFUL_EXPIRES`` for how many seconds.

    Raises:
        ImproperlyConfigured: One of them is no number.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._limit, self._seconds = int(number(_MAX_VARIABLE, _MAX)), number(_EXPIRES_VARIABLE, _EXPIRES)

    def add(self, task_id: str) -> None:
        """Remember a task."""
        self._until.pop(task_id, None)
        self._until[task_id] = time.monotonic() + self._seconds
        while len(self._until) > self._limit:
            del self._until[next(iter(self._until))]

    def __contains__(self, task_id: object) -> bool:
        return isinstance(task_id, str) and self._until.get(task_id, 0.0) > time.monotonic()
