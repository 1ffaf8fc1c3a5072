"""`chain`: tasks that run one after the other, each with the result of the one before; and the operator ``|``.

The first message carries the rest of the chain; whoever runs a step sends the next (`celeriac.execution.follow_up`).
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.canvas.chord import chord
from celeriac.canvas.graphs import end_of, kept_apart, may_keep_apart
from celeriac.canvas.group import flat_members, group
from celeriac.canvas.signature import Signature, as_signature, maybe_signature, without_repeated_module
from celeriac.canvas.stamping import combine
from celeriac.result import allow_join_result
from celeriac.states import IGNORED, REJECTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from celeriac.canvas.stamping import StampingVisitor
    from celeriac.current import AppLike

__all__ = ["chain", "join"]

C = TypeVar("C", bound="chain")

#: Options that belong to a chain as a whole; all others are those of its first task.
_OF_THE_WHOLE = frozenset(
    {"link", "link_error", "task_id", "reply_to", "group_id", "group_index", "chord", "root_id", "parent_id"}
)


class _Folding(type):
    """Calling the class joins its arguments by the rules of ``|``, of which the result need not be a chain."""

    def __call__(cls, *tasks: Any, **options: Any) -> Any:
        if options or not tasks:
            return type.__call__(cls, *tasks, **options)
        if len(tasks) == 1:
            (only,) = tasks
            if isinstance(only, Signature):
                return type.__call__(cls, only)
            tasks = (only,) if isinstance(only, dict) else tuple(only)
        steps = list(map(as_signature, tasks))
        if all(step.subtask_type is None for step in steps):
            # What joining one by one comes to, without copying the list as often.
            app = next((step._app for step in steps if step._app is not None), None)
            return cls.of([step.clone() for step in steps], app)  # type: ignore[attr-defined]
        return reduce(_joined, steps, type.__call__(cls))


@Signature.register_type("chain")
class chain(Signature, metaclass=_Folding):  # noqa: N801 - Celery's name
    """Tasks one after the other.

    A task's result goes in front of the arguments of the next, unless that is immutable. When a task fails, those
    after it are marked as failed with its exception.

    Args:
        *tasks: Signatures, or one iterable of them. They are joined as by ``|``: chains are flattened, a group of
            one task becomes that task.
        **options: Options of `apply_async`; with any of them the tasks are taken as they are.

    Example:
        ``chain(add.s(2, 2), add.s(4))().get() == 8``
    """

    def __init__(self, *tasks: Any, app: AppLike | None = None, **options: Any) -> None:
        steps = tasks[0] if len(tasks) == 1 and not isinstance(tasks[0], dict) else tasks
        super().__init__(
            "celery.chain", (), {"tasks": [as_signature(step) for step in steps]}, options,
            subtask_type="chain", app=app,
        )  # fmt: skip
        if self._app is None and self.tasks:
            self._app = self.tasks[0]._app

    @classmethod
    def of(cls: type[C], steps: Sequence[Signature], app: AppLike | None = None) -> C:
        """A chain of these steps as they are."""
        made: C = type.__call__(cls, list(steps), app=app)
        return made

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: AppLike | None = None) -> Signature:
        """Rebuild a chain of its serialized form."""
        kwargs = dict(d.get("kwargs") or {})
        made = cls.of([maybe_signature(step, app=app) for step in kwargs.get("tasks") or ()], app)
        made.args = d.get("args") or ()
        made.kwargs = {**kwargs, "tasks": made.tasks}
        made.options = dict(d.get("options") or {})
        made.immutable = d.get("immutable", False)
        return made

    @property
    def tasks(self) -> list[Any]:
        """Its steps."""
        steps: list[Any] = self.kwargs["tasks"]
        return steps

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send it; an empty chain is None."""
        return self.apply_async(partial_args, partial_kwargs)

    def unchain_tasks(self) -> list[Signature]:
        """Copies of its steps, flattened, with its links, error links and partial arguments where they belong."""
        steps = [step.clone() for step in _flatten(self.tasks, self._app)]
        if len(steps) > 1:
            # Groups that are empty have nothing to run and nothing to wait for.
            steps = [step for step in steps if not (isinstance(step, group) and not flat_members(step))] or steps[-1:]
        if not steps:
            return []
        partial = {key: value for key, value in self.kwargs.items() if key != "tasks"}
        options = {key: value for key, value in self.options.items() if key not in _OF_THE_WHOLE}
        if self.args or partial or options:
            steps[0] = steps[0].clone(self.args, partial, **options)
        for link in _as_list(self.options.get("link")):
            steps[-1].link(link)
        for errback in _as_list(self.options.get("link_error")):
            for step in self._told_of_errors(steps):
                step.link_error(errback)
        return steps

    def _told_of_errors(self, steps: Sequence[Signature]) -> list[Signature]:
        """Steps that get its errbacks: a group that another step follows is the header of a chord, which has none."""
        if self.app.conf.task_allow_error_cb_on_chord_header:
            return list(steps)
        return [step for step in steps if step is steps[-1] or not _becomes_header(step)]

    # ------------------------------------------------------------------ sending

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Any:
        """Send it.

        Args:
            args: Go in front of the positional arguments of its first task.
            kwargs: Go over the keyword arguments of its first task.
            **options: ``task_id``, ``group_id``, ``group_index``, ``chord`` and ``link`` are those of the last task,
                ``link_error`` of all tasks, any other of the first.

        Returns:
            The result of the last task, whose ``parent`` is that of the one before; None for an empty chain.
        """
        if self.app.conf.task_always_eager:
            with allow_join_result():
                return self.apply(args, kwargs, **options)
        first, result = self.outgoing(args, kwargs, options)
        if first is not None:
            first.apply_async()
        return result

    run = apply_async

    def outgoing(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Signature | None, Any]:
        """What to send for it: its first task, which carries the others; and the result of the last."""
        given = {key: value for key, value in options.items() if value is not None}
        if self.immutable:
            args = kwargs = None
        whole = self
        if may_keep_apart(self.app):
            whole = type(self).of(_unnested(self.tasks), self._app)
            whole.args, whole.kwargs, whole.options = self.args, {**self.kwargs, "tasks": whole.tasks}, self.options
        steps = _with_chords(whole.unchain_tasks())
        if not steps:
            return None, None
        for callback in _as_list(given.pop("link", None)):
            steps[-1].link(callback)
        for errback in _as_list(given.pop("link_error", None)):
            for step in steps:
                step.link_error(errback)
        place = {key: given.pop(key, None) for key in ("group_id", "group_index", "chord", "root_id", "parent_id")}
        place = {key: self.options.get(key) if value is None else value for key, value in place.items()}
        result = _freeze(steps, given.pop("task_id", None) or self.options.get("task_id"), **place)
        first, rest = steps[0], steps[:0:-1]
        later = given.pop("chain", None) or []
        if self.app.conf.task_protocol == 1:
            for step, following in zip(steps[-2::-1], steps[:0:-1], strict=True):
                step.link(following)
        elif rest or later or not isinstance(first, group):
            given["chain"] = kept_apart(self.app, [*later, *rest])
        return first.outgoing(args, kwargs, given)[0], result

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Give ids to its tasks without sending it; returns the result of the last one."""
        steps = _with_chords(self.unchain_tasks())
        for key in self.options.keys() - {"task_id"}:
            if key not in ("group_id", "group_index", "chord", "root_id", "parent_id"):
                del self.options[key]
        self.args, self.kwargs = (), {"tasks": steps}
        if not steps:
            return None
        place = {
            "group_id": group_id, "chord": chord, "root_id": root_id, "parent_id": parent_id,
            "group_index": group_index,
        }  # fmt: skip
        result = _freeze(steps, self.options.get("task_id") or _id, **place)
        self.options["task_id"] = result.id
        return result

    _freeze = freeze

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run its tasks here and now, one after the other; returns the `EagerResult` of the last.

        Raises:
            Exception: That of a task that failed before the last one.
        """
        if self.immutable:
            args = kwargs = None
        given = {key: value for key, value in options.items() if value is not None}
        links = {key: given.pop(key) for key in ("link", "link_error") if key in given}
        steps = _with_chords((self.clone(**links) if links else self).unchain_tasks())
        last: Any = None
        for step in steps:
            result = step.apply(args, kwargs, **given) if last is None else step.apply((last.get(),))
            result.parent = last
            last = result
            if getattr(result, "state", None) in (IGNORED, REJECTED):
                break
        return last

    def stamp(self: C, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> C:
        """Stamp all its tasks and links; returns itself. See `Signature.stamp`."""
        self.stamp_links(visitor, append_stamps, **headers)
        if visitor is not None:
            headers = combine(headers, visitor.on_chain_start(self, **headers))
        for step in self.tasks:
            step.stamp(visitor, append_stamps, **headers)
        if visitor is not None:
            visitor.on_chain_end(self, **headers)
        return self

    # ------------------------------------------------------------------ looks

    def __repr__(self) -> str:
        if not self.tasks:
            return f"<chain@{id(self):#x}: empty>"
        steps = [as_signature(step) for step in self.tasks]
        return " | ".join(without_repeated_module([repr(step) for step in steps], steps[0].name))


def _flatten(steps: Any, app: AppLike | None) -> list[Signature]:
    found: list[Signature] = []
    for item in steps:
        step = as_signature(item)
        if step._app is None:
            step._app = app
        if isinstance(step, chain):
            found.extend(step.unchain_tasks())
        else:
            found.append(step)
    return found


def _becomes_header(step: Any) -> bool:
    """Whether a step turns into the header of a chord, or ends in one, when another follows it."""
    while isinstance(step, chord):
        step = step.body
    return isinstance(step, group)


def _with_chords(steps: Sequence[Signature]) -> list[Signature]:
    """Steps of which none but the last is a group: one that is followed by another step becomes a chord with it."""
    folded: list[Signature] = []
    for step in reversed(steps):
        if isinstance(step, group) and folded:
            folded[-1] = chord(step, folded[-1], app=step._app)
        else:
            folded.append(step)
    return folded[::-1]


def _freeze(steps: Sequence[Signature], task_id: str | None, **place: Any) -> Any:
    """Give ids to steps; the result of each is the parent of the next one's."""
    of_first = {key: place.pop(key) for key in ("root_id", "parent_id")}
    previous: Any = None
    for number, step in enumerate(steps):
        given = dict(of_first) if number == 0 else {}
        if step is steps[-1]:
            given.update(place, _id=task_id)
        result: Any = step.freeze(**given)
        first = result
        while first.parent is not None:
            # The result of a chord has that of its header above it.
            first = first.parent
        first.parent = previous
        previous = result
    return previous


def _own_steps(whole: chain) -> list[Signature]:
    """Steps of a chain that is taken apart: copies only where something has to be merged into them."""
    return (_plain_steps(whole) if not whole.options else []) or whole.unchain_tasks()


def _unnested(steps: Sequence[Signature]) -> list[Signature]:
    """The same steps, where what follows the first task of a chord's body follows the chord; none is changed."""
    found: list[Signature] = []
    waiting = list(reversed(steps))
    while waiting:
        step = waiting.pop()
        if isinstance(step, chord) and not step.options and isinstance(step.body, chain):
            body = step.body
            inner = _plain_steps(body)
            given = body.options.get("task_id")
            if (
                inner
                and body.options.keys() <= {"task_id"}
                and given in (None, end_of(inner[-1]).options.get("task_id"))
            ):
                flat = chord([], inner[0], step.task, app=step._app)
                flat.args, flat.immutable = step.args, step.immutable
                flat.kwargs = {**step.kwargs, "body": inner[0]}
                step = flat
                waiting += inner[:0:-1]
        found.append(step)
    return found


def _plain_steps(whole: chain) -> list[Signature]:
    """Its own steps, where nothing of the chain has to be merged into them; else none."""
    kinds = [step.subtask_type for step in whole.tasks if isinstance(step, Signature)]
    is_plain = len(kinds) == len(whole.tasks) and "chain" not in kinds and "group" not in kinds[:-1]
    return list(whole.tasks) if is_plain and not whole.args and whole.kwargs.keys() == {"tasks"} else []


def join(left: Signature, right: Any) -> Any:
    """What ``left | right`` is; neither is changed."""
    return _joined(left.clone(), right)


def _joined(left: Signature, right: Any) -> Any:
    """The same; may take the left one apart."""
    if isinstance(left, group):
        if isinstance(right, group) and not right.tasks:
            return left
        return chord(left, right.clone(), app=left._app or right._app)
    if isinstance(left, chord) and not isinstance(right, chain):
        one = _unrolled(right)
        if not isinstance(one, group):
            return _with_body(left, one)
    return _appended(left, right)


def _appended(left: Signature, right: Any) -> Any:
    """A chain of the two, with chords where a group or a chord is followed by something."""
    steps = _own_steps(left) if isinstance(left, chain) else [left]
    app = left._app or right._app
    kind = type(left) if isinstance(left, chain) else chain
    if isinstance(right, chain):
        if isinstance(left, chord):
            return kind.of([*steps, *right.unchain_tasks()], app)
        return reduce(_joined, right.unchain_tasks(), left)
    one = _unrolled(right)
    if isinstance(one, group) and isinstance(left, chain):
        if not steps:
            return one.clone()
        if not one.tasks:
            return left
    if not steps and isinstance(right, group):
        return one.clone()
    if steps and isinstance(steps[-1], group) and not steps[-1].tasks:
        steps.pop()
    last = steps[-1] if steps else None
    if isinstance(last, group) and not isinstance(one, group):
        steps[-1:] = [chord(last, one.clone(), app=app)]
    elif isinstance(last, chord) and isinstance(left, chain) and not isinstance(one, chord):
        steps[-1:] = [_with_body(last, one)]
    else:
        steps.append(one.clone())
    return kind.of(steps, app)


def _unrolled(right: Any) -> Any:
    """The task of a group of one; anything else as it is."""
    return as_signature(right.tasks[0]) if isinstance(right, group) and len(right.tasks) == 1 else right


def _with_body(left: chord, following: Any) -> Any:
    left.body = following.clone() if left.body is None else _joined(left.body, following)
    return left


def _as_list(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


Signature._join = join
