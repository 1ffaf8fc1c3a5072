"""Celeriac: a distributed task queue with Celery's API and wire format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celeriac._version import __version__
from celeriac.app.base import Celery, bugreport
from celeriac.app.shared import current_app, current_task, shared_task
from celeriac.app.task import Task
from celeriac.broker.topology import Broadcast, Exchange, Queue, binding
from celeriac.utils.lazy import lazy_exports
from celeriac.utils.uuid import uuid4 as uuid

if TYPE_CHECKING:
    from celeriac.canvas.chain import chain
    from celeriac.canvas.chord import chord
    from celeriac.canvas.group import group
    from celeriac.canvas.maps import chunks, xmap, xstarmap
    from celeriac.canvas.signature import Signature, maybe_signature, signature
    from celeriac.canvas.signature import signature as subtask
    from celeriac.canvas.stamping import StampingVisitor

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
    "chord",
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

_CANVAS = frozenset(
    {
        "Signature", "StampingVisitor", "chain", "chord", "chunks", "group", "maybe_signature", "signature", "subtask",
        "xmap", "xstarmap",
    }
)  # fmt: skip
__getattr__ = lazy_exports(__name__, dict.fromkeys(_CANVAS, "celeriac.canvas"))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
