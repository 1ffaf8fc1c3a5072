"""Names of ``celery.app.trace``: what is put in the place of `build_tracer` is used around every task that runs."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.app.task import Task
from celeriac.execution import tracing
from celeriac.execution.job import SUCCEEDED

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TraceInfo", "build_tracer", "task_has_custom", "trace_ok_t"]


class TraceInfo(NamedTuple):
    """How a task ended that did not succeed.

    Attributes:
        state: Its state.
        retval: The exception.
    """

    state: str
    retval: Any


class trace_ok_t(NamedTuple):  # noqa: N801 - Celery's name
    """What a tracer returns.

    Attributes:
        retval: Return value of the task, or the exception.
        info: None if it succeeded.
        runtime: Seconds.
        retstr: Always empty: values are shown by who shows them.
    """

    retval: Any
    info: TraceInfo | None
    runtime: float
    retstr: str


def build_tracer(name: str, task: Any, loader: Any = None, **options: Any) -> Callable[..., trace_ok_t]:
    """What runs a task, for those who put something around it and call it there.

    Args:
        name: Name of the task.
        task: The task.
        loader: Not used.
        **options: Not used.

    Raises:
        RuntimeError: From what it returns, when that is called outside of a run.
    """

    def tracer(uuid: str, args: Any, kwargs: Any, request: Any = None) -> trace_ok_t:
        inside = tracing.take_run()
        if inside is None:
            raise RuntimeError(f"The tracer of {name} was called outside of a run: call {name}.apply() instead")
        run = inside()
        info = None if run.kind == SUCCEEDED else TraceInfo(run.state, run.value)
        return trace_ok_t(run.value, info, run.runtime, "")

    return tracer


def task_has_custom(task: Any, attr: str) -> bool:
    """Whether a class of the user's gives a task an attribute, not `celeriac.Task`."""
    for cls in type(task).__mro__:
        if cls is Task:
            return False
        if attr in cls.__dict__:
            return True
    return False


def _replaced() -> Any:
    """What others put in the place of `build_tracer`."""
    found = vars(sys.modules.get("celery.app.trace", sys)).get("build_tracer")
    return None if found is build_tracer else found


def _name_as_celery(record: logging.LogRecord) -> bool:
    """Who watches tasks knows from the name of the logger what was logged of them, and does not report it twice."""
    record.name = "celery.app.trace"
    return True


tracing.seek = _replaced
logging.getLogger("celeriac.app.trace").addFilter(_name_as_celery)
