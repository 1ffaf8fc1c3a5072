"""Celeriac: a distributed task queue with Celery's API and wire format."""

from __future__ import annotations

from celeriac._version import __version__
from celeriac.app.base import Celery, bugreport
from celeriac.app.shared import current_app, current_task, shared_task
from celeriac.app.task import Task
from celeriac.broker.topology import Broadcast, Exchange, Queue, binding
from celeriac.canvas import Signature, StampingVisitor, chain, chunks, group, maybe_signature, signature, xmap, xstarmap
from celeriac.utils.uuid import uuid4 as uuid

subtask = signature

__all__ = [
    "Broadcast",
    "Celery",
    "Exchange",
    "Queue",
    "Signature",
    "StampingVisitor",
    "Task",
    "__version__",
    "binding",
    "bugreport",
    "chain",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]

_NOT_BUILT = {"chord": "count the finished tasks of a group in a task of your own"}


def __getattr__(name: str) -> object:
    if name in _NOT_BUILT:
        # `from celeriac import …` would turn an AttributeError into an ImportError without the reason.
        raise ImportError(f"celeriac.{name} is not built yet: {_NOT_BUILT[name]}", name=__name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
