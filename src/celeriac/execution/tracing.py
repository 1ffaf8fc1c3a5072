"""A seam for those who watch tasks from around them: functions that are put around each run, one made for each task.

Nobody does in most processes.  `celeriac.compat` fills it, for programs that replace ``celery.app.trace.build_tracer``.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from celeriac.execution.calling import Execution

    #: Makes, of a name and a task, what is called with the id, the arguments and the request of each run.
    Maker = Callable[..., Callable[[str | None, Any, Any, Any], Any]]

__all__ = ["perform", "seek", "take_run"]

#: Gives the function that makes tracers, or None; itself None where nobody can have given one.
seek: Callable[[], Maker | None] | None = None

_waiting: ContextVar[Callable[[], Execution] | None] = ContextVar("celeriac_traced", default=None)


def perform(run: Execution, inside: Callable[[], Execution]) -> None:
    """Do a run, within what was put around the runs of its task.

    Args:
        run: The run.
        inside: Does it, and returns it.
    """
    make = seek() if seek is not None else None
    if make is None:
        inside()
        return
    known: tuple[Any, Any] | None = run.task.__dict__.get("_tracer")
    if known is None or known[0] is not make:
        request = run.request
        options = {"hostname": request.hostname, "eager": bool(request.is_eager), "app": run.task.app}
        known = run.task.__dict__["_tracer"] = (make, make(run.task.name, run.task, None, **options))
    token = _waiting.set(inside)
    try:
        known[1](run.request.id, run.args, run.kwargs, run.request)
    finally:
        _waiting.reset(token)


def take_run() -> Callable[[], Execution] | None:
    """What does the run that a tracer was called for; once."""
    inside = _waiting.get()
    _waiting.set(None)
    return inside
