"""`group`: tasks that run at the same time, with one result for all.  Waiting for a group in a workflow is a chord."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.canvas.signature import Signature, as_signature, maybe_signature
from celeriac.canvas.stamping import combine
from celeriac.canvas.unread import Unread
from celeriac.current import get_current_task, get_current_worker_request
from celeriac.result import GroupResult, allow_join_result
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.canvas.stamping import StampingVisitor
    from celeriac.current import AppLike

__all__ = ["flat_members", "group", "record_child"]

G = TypeVar("G", bound="group")

#: Options that say where a group stands; its tasks have their own.
_OF_THE_WHOLE = frozenset(
    {"task_id", "reply_to", "group_id", "group_index", "chord", "root_id", "parent_id", "add_to_parent"}
)


@Signature.register_type()
class group(Signature):  # noqa: N801 - Celery's name
    """Tasks at the same time.

    The tasks of a generator, or any other iterator, are read when they are sent, a few at a time, or when something
    else is done with the group.

    Args:
        *tasks: Signatures, or one iterable of them, or one group.
        **options: Options of every task.

    Example:
        ``group(add.s(i, i) for i in range(3))().get() == [0, 2, 4]``
    """

    def __init__(self, *tasks: Any, app: AppLike | None = None, **options: Any) -> None:
        given: Any = tasks
        if len(tasks) == 1:
            (only,) = tasks
            if isinstance(only, group):
                given = only.tasks
            elif isinstance(only, Iterable) and not isinstance(only, dict | str):
                given = only
        unread = Unread(given) if isinstance(given, Iterator) else None
        members = [] if unread is not None else [as_signature(task) for task in given]
        super().__init__("celery.group", (), {"tasks": members}, options, subtask_type="group", app=app)
        first = unread.first() if unread is not None else members[0] if members else None
        if self._app is None and first is not None:
            self._app = first._app
        self._unread = unread

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: AppLike | None = None) -> Signature:
        """Rebuild a group of its serialized form."""
        kwargs = dict(d.get("kwargs") or {})
        made = cls([maybe_signature(task, app=app) for task in kwargs.get("tasks") or ()], app=app)
        made.args = d.get("args") or ()
        made.kwargs = {**kwargs, "tasks": made.tasks}
        made.options = dict(d.get("options") or {})
        made.immutable = d.get("immutable", False)
        return made

    # ------------------------------------------------------------------ tasks that are not read yet

    _unread: Unread | None = None

    def _read(self) -> None:
        """Make an ordinary group of it."""
        unread, self._unread = self._unread, None
        if unread is not None:
            dict.__getitem__(self, "kwargs")["tasks"] += unread.everything()

    def __getitem__(self, key: str) -> Any:
        if self._unread is not None and key == "kwargs":
            self._read()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary."""
        if self._unread is not None and key == "kwargs":
            self._read()
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        # `dict` copies its subclasses without asking them, unless they have this.
        self._read()
        return super().__iter__()

    def items(self) -> Any:
        """As of a dictionary."""
        self._read()
        return super().items()

    def values(self) -> Any:
        """As of a dictionary."""
        self._read()
        return super().values()

    def __eq__(self, other: object) -> bool:
        self._read()
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    @property
    def tasks(self) -> list[Any]:
        """Its tasks."""
        members: list[Any] = self.kwargs["tasks"]
        return members

    def __len__(self) -> int:
        return len(self.tasks)

    def __bool__(self) -> bool:
        return bool(self.tasks)

    def __call__(self, *partial_args: Any, **options: Any) -> Any:
        """Send it, with these arguments in front of those of each task."""
        return self.apply_async(partial_args, **options)

    # ------------------------------------------------------------------ sending

    def apply_async(  # type: ignore[override]
        self,
        args: Any = None,
        kwargs: Any = None,
        add_to_parent: bool = True,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> Any:
        """Send its tasks, pipelined.

        Args:
            args: Go in front of the positional arguments of each task.
            kwargs: Go over the keyword arguments of each task.
            add_to_parent: The running task records the group as its child.
            producer: One of ``app.producer_pool`` to publish through; None is the session of this thread.
            link: Not supported: use the method `link`.
            link_error: Not supported: use the method `link_error`.
            **options: Options of every task; ``task_id`` is the id of the group.

        Returns:
            A `GroupResult`.

        Raises:
            TypeError: ``link`` or ``link_error`` was given.
            OperationalError: The broker did not accept all tasks; some may have been accepted.
        """
        if link is not None or link_error is not None:
            name = "link" if link is not None else "link_error"
            raise TypeError(f"A group takes no {name}= with a call: use group.{name}(...) for its tasks")
        if self.app.conf.task_always_eager:
            with allow_join_result():
                return self.apply(args, kwargs, **options)
        given = {key: value for key, value in options.items() if value is not None}
        if producer is not None:
            given["producer"] = producer
        if later := given.pop("chain", None):
            whole: Any = self
            for step in reversed(later):
                whole = whole | as_signature(step)
            return whole.apply_async(args, kwargs, add_to_parent=add_to_parent, **given)
        place = {key: given.pop(key, None) for key in ("group_id", "chord", "root_id", "parent_id", "group_index")}
        task_id = given.pop("task_id", None)
        if self._unread is not None:
            result = self._send_unread(self._unread, args, kwargs, given, {"task_id": task_id, **place})
        else:
            copy = self.clone()
            result = copy.freeze(task_id, **place)
            copy.send(args, kwargs, given)
        if add_to_parent:
            record_child(result)
        return result

    def _send_unread(
        self, unread: Unread, args: Any, kwargs: Any, options: Mapping[str, Any], place: Mapping[str, Any]
    ) -> GroupResult:
        """Send tasks as they are read; what stays of each is its result."""
        empty = group(app=self._app)
        empty.args, empty.immutable = self.args, self.immutable
        empty.options = {**self.options, **{key: value for key, value in place.items() if value is not None}}
        own = dict(empty.options)
        gid = own.setdefault("task_id", uuid4())
        for_all, _ = empty._of_each()
        of_place = {key: own.get(key) for key in ("root_id", "parent_id", "chord")}
        results: list[Any] = []

        def frozen() -> Iterator[Any]:
            for item in unread:
                for member in _flat(item, self._app):
                    copy = member.clone(self.args, None, **for_all)
                    results.append(copy.freeze(group_id=gid, group_index=len(results), **of_place))
                    yield copy

        self.send(args, kwargs, options, frozen())
        if len(results) == 1 and isinstance(results[0], GroupResult):
            return results[0]
        return GroupResult(gid, results, app=self.app)

    def send(self, args: Any, kwargs: Any, options: Mapping[str, Any], members: Iterable[Any] | None = None) -> None:
        """Send tasks, which are frozen: together, but for those whose class has an `apply_async` of its own.

        Args:
            args: Go in front of the positional arguments of each.
            kwargs: Go over the keyword arguments of each.
            options: Go over the options of each.
            members: The tasks; None sends those of the group.
        """
        app, alone = self.app, []

        def together() -> Iterator[Signature]:
            for member in _merged(self.tasks if members is None else members, args, kwargs, options):
                task = app.tasks.get(member["task"])
                if task is None or not task.overrides_apply_async:
                    yield member
                else:
                    alone.append(member)

        app.publish_many(together(), results=False)
        for member in alone:
            member.apply_async(add_to_parent=False)

    def _of_each(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its options and keyword arguments that are those of every task."""
        for_all = {key: value for key, value in self.options.items() if key not in _OF_THE_WHOLE}
        return for_all, {key: value for key, value in self.kwargs.items() if key != "tasks"}

    def own_members(self) -> list[Any]:
        """Its tasks, with the arguments and options that it has for each of them."""
        for_all, partial = self._of_each()
        if not (self.args or partial or for_all):
            return [as_signature(member) for member in self.tasks]
        return [as_signature(member).clone(self.args, partial, **for_all) for member in self.tasks]

    def outgoing(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Signature | None, Any]:
        """Itself, with these arguments and options for its tasks."""
        return self.clone(args, kwargs, **options), None

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Give ids to its tasks without sending them; returns the `GroupResult`.

        Groups in it become part of it.
        """
        own = self.options
        gid = own.get("task_id") or _id or uuid4()
        given = {"group_id": group_id, "chord": chord, "root_id": root_id, "parent_id": parent_id,
                 "group_index": group_index}  # fmt: skip
        own.update((key, value) for key, value in given.items() if value is not None)
        own["task_id"] = gid
        members = flat_members(self)
        for_all, partial = self._of_each()
        if self.args or partial or for_all:
            members = [member.clone(self.args, partial, **for_all) for member in members]
            self.options = {key: value for key, value in own.items() if key not in for_all}
            self.args = ()
        self.kwargs = {"tasks": members}
        results = [
            member.freeze(
                group_id=gid, group_index=index, root_id=own.get("root_id"), parent_id=own.get("parent_id"),
                chord=own.get("chord"),
            )
            for index, member in enumerate(members)
        ]  # fmt: skip
        return _one_group(gid, results, self.app)

    _freeze = freeze

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run its tasks here and now, one after the other; returns a `GroupResult`."""
        given = {key: value for key, value in options.items() if value is not None}
        gid = given.pop("task_id", None) or self.options.get("task_id") or uuid4()
        for key in ("group_id", "group_index", "chain"):
            given.pop(key, None)
        for_all, partial = self._of_each()
        results = [
            member.clone(self.args, partial).apply(args, kwargs, **{**for_all, **given})
            for member in flat_members(self)
        ]  # fmt: skip
        return _one_group(gid, results, self.app)

    # ------------------------------------------------------------------ links and changes

    def link(self, callback: Any) -> Any:
        """Link an immutable copy of ``callback`` to the first task; returns the callback."""
        if self.tasks:
            self.tasks[0].link(as_signature(callback).clone().set(immutable=True))
        return callback

    def link_error(self, errback: Any) -> Any:
        """Link a copy of ``errback`` to the failure of every task; returns the errback."""
        for member in self.tasks:
            member.link_error(as_signature(errback).clone())
        return errback

    def set_immutable(self, immutable: bool) -> None:
        """Say of every task whether arguments of a caller are ignored."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def skew(self, start: float = 1.0, stop: float | None = None, step: float = 1.0) -> group:
        """Let its tasks start one after the other; returns itself.

        Args:
            start: Seconds to wait for the first task.
            stop: Most seconds to wait for any.
            step: Seconds from one task to the next.
        """
        countdown = float(start)
        for member in self.tasks:
            member.set(countdown=countdown)
            if stop is None or countdown + step <= stop:
                countdown += step
        return self

    def stamp(self: G, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> G:
        """Stamp all its tasks; returns itself. See `Signature.stamp`."""
        self.stamp_links(visitor, append_stamps, **headers)
        if visitor is not None:
            headers = combine(headers, visitor.on_group_start(self, **headers))
        for member in self.tasks:
            member.stamp(visitor, append_stamps, **headers)
        if visitor is not None:
            visitor.on_group_end(self, **headers)
        return self

    def __repr__(self) -> str:
        if not self.tasks:
            return "group(<empty>)"
        texts = [repr(member) for member in self.tasks]
        module = _first_name(self.tasks).rpartition(".")[0]
        if module:
            texts[1:] = [text.replace(f"{module}.", "") for text in texts[1:]]
        return f"group(({', '.join(texts)}))" if len(texts) > 1 else f"group([{texts[0]}])"


def _one_group(gid: str, results: list[Any], app: AppLike) -> GroupResult:
    """The result of a group; of one whose only task ends in a group, that one's."""
    if len(results) == 1 and isinstance(results[0], GroupResult):
        return results[0]
    return GroupResult(gid, results, app=app)


def _first_name(tasks: Iterable[Any]) -> str:
    for task in tasks:
        inner = task["kwargs"].get("tasks")
        return _first_name(inner) if inner else str(task["task"])
    return ""


def _merged(members: Iterable[Any], args: Any, kwargs: Any, options: Mapping[str, Any]) -> Iterator[Signature]:
    """What is to be sent for each task."""
    for member in members:
        first, _ = member.outgoing(args, kwargs, options)
        if first is not None and first.subtask_type is not None:
            # A chord, or a chain that begins with one or with a group.
            first.apply_async(add_to_parent=False)
        elif first is not None:
            yield first


def flat_members(whole: group) -> list[Any]:
    """Its tasks, with those of groups in it in their place; empty chains have nothing to run and are left out."""
    return [each for member in whole.tasks for each in _flat(member, whole._app)]


def _flat(member: Any, app: AppLike | None) -> list[Any]:
    if member._app is None:
        member._app = app
    if not isinstance(member, group):
        return [] if member.subtask_type == "chain" and not member.kwargs["tasks"] else [member]
    for_all, partial = member._of_each()
    inner = flat_members(member)
    if not (member.args or partial or for_all):
        return inner
    return [each.clone(member.args, partial, **for_all) for each in inner]


def record_child(result: Any) -> None:
    """Record the result with the task that is running, unless that keeps no trail."""
    parent, task = get_current_worker_request(), get_current_task()
    if parent is not None and task is not None and task.trail:
        parent.children.append(result)
