"""`Task.replace` and `Task.add_to_chord`: other tasks take the place of the running one, or join its chord.

Sending a replacement is `Task.on_replace`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac.canvas.chain import chain
from celeriac.canvas.chord import as_one, chord, require_chords
from celeriac.canvas.signature import as_signature
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.task import Task
    from celeriac.canvas.signature import Signature
    from celeriac.current import Context

__all__ = ["add_to_chord", "replace_task"]


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
    if request.is_eager:
        # The task goes on, and what was to follow it would follow both.
        request.update(callbacks=None, errbacks=None, chain=None)
    return task.on_replace(whole)


def _steps(sig: Signature) -> list[Signature]:
    """The tasks to run, one after the other."""
    if sig.options.get("chord"):
        raise ImproperlyConfigured(f"Task.replace(): {sig!r} has a chord of its own and cannot take another's place")
    steps = sig.unchain_tasks() if isinstance(sig, chain) else [sig.clone()]
    if not steps:
        raise ImproperlyConfigured("Task.replace(): an empty chain cannot take the place of a task")
    # One result takes the place of one result.
    steps[-1] = as_one(steps[-1])
    return steps


def _take_place(request: Context, last: Signature) -> None:
    """What the caller of the replaced task wanted of its result."""
    last.options.pop("task_id", None)
    if request.ignore_result:
        kept = last.body if isinstance(last, chord) else last
        kept.options.setdefault("ignore_result", True)


def add_to_chord(task: Task[..., Any], sig: Any, lazy: bool) -> Any:
    """See `Task.add_to_chord`."""
    request = task.request
    if not request.chord or not request.group:
        raise ValueError(f"Task {task.name}: add_to_chord() is for tasks in the header of a chord, and this is in none")
    member = as_signature(sig).clone()
    app = task.app
    require_chords(app)
    member.freeze(group_id=request.group, chord=request.chord, root_id=request.root_id)
    # Counted before it is sent: the body must not begin without it.
    app.backend.grow_chord(request.group, 1)
    return member if lazy else member.delay()
