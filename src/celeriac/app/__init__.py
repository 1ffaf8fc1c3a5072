"""The client: declaring, calling and routing tasks."""

from __future__ import annotations

from celeriac.app.base import Celery
from celeriac.app.shared import shared_task
from celeriac.app.task import Task

__all__ = ["Celery", "Task", "shared_task"]
