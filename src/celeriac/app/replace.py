"""`Task.replace`: another task takes the place of the running one.  Sending it is `Task.on_replace`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.canvas.chain import chain
from celeriac.canvas.group import group
from celeriac.canvas.signature import as_signature
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.task import Task
    from celeriac.canvas.signature import Signature
    from celeriac.current import Context

__all__ = ["replace_task"]


def replace_task(task: Task[..., Any], sig: Any) -> Any:
    """See `Task.replace`."""
    request = task.request
    steps = _steps(as_signature(sig))
    last = steps[-1]
    for link in request.callbacks or ():
        last.link(link)
    for step in steps:
        for errback in request.errbacks or ():
            step.link_error(errback)
        step.set(replaced_task_nesting=request.replaced_task_nesting + 1)
        if request.stamped_headers:
            stamps = {key: value for key, value in (request.stamps or {}).items() if key in request.stamped_headers}
            step.stamp(append_stamps=True, **stamps)
    _take_place(request, last)
    if request.reply_to is not None:
        last.set(reply_to=request.reply_to)
    last.freeze(request.id, group_id=request.group, chord=request.chord, group_index=request.group_index)
    app = task.app
    rest = [as_signature(step) for step in reversed(request.chain or ())]
    whole = steps[0] if len(steps) == 1 and not rest else chain.of([*steps, *rest], app)
    whole.set(root_id=request.root_id, parent_id=request.parent_id)
    return task.on_replace(whole)


def _steps(sig: Signature) -> list[Signature]:
    """The tasks to run, one after the other."""
    if sig.options.get("chord"):
        raise ImproperlyConfigured(f"Task.replace(): {sig!r} has a chord of its own and cannot take another's place")
    steps = sig.unchain_tasks() if isinstance(sig, chain) else [sig.clone()]
    if not steps:
        raise ImproperlyConfigured("Task.replace(): an empty chain cannot take the place of a task")
    if any(isinstance(step, group) for step in steps):
        raise NotImplementedError(
            f"Task.replace() with a group ({sig!r}) takes a chord to collect its results, and chords are not built yet"
        )
    return steps


def _take_place(request: Context, last: Signature) -> None:
    """What the caller of the replaced task wanted of its result."""
    last.options.pop("task_id", None)
    if request.ignore_result:
        last.options.setdefault("ignore_result", True)
