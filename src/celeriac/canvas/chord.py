"""`chord`: a group, and a task that gets the results of all its tasks once they are there.

Counting the results and sending the body is the workers' business (`celeriac.execution.chords`); here a chord is built
and its header sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.backend.chordless import chords_refused
from celeriac.canvas.graphs import shared_body
from celeriac.canvas.group import flat_members, group, record_child
from celeriac.canvas.signature import Signature, as_signature, maybe_signature, without_repeated_module
from celeriac.canvas.stamping import combine
from celeriac.exceptions import ImproperlyConfigured
from celeriac.result import allow_join_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celeriac.canvas.stamping import StampingVisitor
    from celeriac.current import AppLike

__all__ = ["as_one", "chord", "require_chords"]

C = TypeVar("C", bound="chord")

#: Options of a call that are about when the header begins.
_OF_HEADER = frozenset({"countdown", "eta"})
#: Options of a call that are about the result, which is that of the body.
_OF_BODY = frozenset({"task_id", "group_id", "group_index", "chord", "chain", "link", "link_error"})
_PLACE = frozenset({"root_id", "parent_id", "reply_to", "add_to_parent", "producer"})


@Signature.register_type()
class chord(Signature):  # noqa: N801 - Celery's name
    """A group, and a body that is called with the list of its results.

    When a task of the header fails, the body fails with a `ChordError` once all others have ended.

    Args:
        header: Signatures in any iterable, a group, a chain (whose steps are taken side by side), or one signature.
        body: The signature that gets the results; it may come with the call: ``chord(header)(body)``.
        task: Name of the task on the wire.
        args: Go in front of the positional arguments of each task of the header.
        kwargs: Go over the keyword arguments of each task of the header.
        app: The app.
        **options: Options of `apply_async`.

    Example:
        ``chord((add.s(i, i) for i in range(3)), total.s())().get() == 6``
    """

    def __init__(
        self,
        header: Any,
        body: Any = None,
        task: str = "celery.chord",
        args: Any = (),
        kwargs: Any = None,
        app: AppLike | None = None,
        **options: Any,
    ) -> None:
        # The empty mapping is Celery's, byte for byte.
        parts = {
            **(kwargs or {"kwargs": {}}),
            "header": _members(header),
            "body": None if body is None else as_signature(body),
        }
        super().__init__(task, args, parts, options, subtask_type="chord", app=app)
        if self._app is None:
            self._app = next((each._app for each in (*self.tasks, self.body) if each is not None and each._app), None)

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: AppLike | None = None) -> Signature:
        """Rebuild a chord of its serialized form; a frozen one has a group for a header."""
        kwargs = dict(d.get("kwargs") or {})
        header, body = kwargs.pop("header", None) or [], kwargs.pop("body", None)
        made = cls([], maybe_signature(body, app=app), d.get("task") or "celery.chord", app=app)
        if isinstance(header, dict):
            made.kwargs["header"] = maybe_signature(header, app=app)
        else:
            made.kwargs["header"] = [maybe_signature(each, app=app) for each in header]
        made.kwargs = {**kwargs, "header": made.kwargs["header"], "body": made.kwargs["body"]}
        made.args = d.get("args") or ()
        made.options = dict(d.get("options") or {})
        made.immutable = d.get("immutable", False)
        if made._app is None:
            made._app = next((each._app for each in made.tasks if each._app), None)
        return made

    @property
    def tasks(self) -> list[Any]:
        """The tasks of its header."""
        header = self.kwargs["header"]
        found: list[Any] = header.tasks if isinstance(header, group) else header
        return found

    @property
    def body(self) -> Any:
        """What gets the results, or None; of the same app, unless it has one."""
        body = self.kwargs["body"]
        if isinstance(body, Signature) and body._app is None:
            body._app = self._app
        return body

    @body.setter
    def body(self, body: Any) -> None:
        self.kwargs["body"] = body

    def __call__(self, body: Any = None, **options: Any) -> Any:
        """Send it, with this body if it has none."""
        return self.apply_async((), body=body, **options)

    # ------------------------------------------------------------------ sending

    def apply_async(  # type: ignore[override]
        self, args: Any = None, kwargs: Any = None, body: Any = None, **options: Any
    ) -> Any:
        """Send its header.

        Args:
            args: Go in front of the positional arguments of each task of the header.
            kwargs: Go over the keyword arguments of each task of the header.
            body: Takes the place of its body.
            **options: ``task_id``, ``link`` and ``link_error`` are those of the body, ``countdown`` and ``eta`` of the
                header, any other of both.

        Returns:
            The result of the body, whose ``parent`` is the `GroupResult` of the header.

        Raises:
            ImproperlyConfigured: It has no body.
            NotImplementedError: The result backend cannot join chords.
            OperationalError: Broker or result backend did not accept it; a part of the header may have been sent.
        """
        if self.app.conf.task_always_eager:
            with allow_join_result():
                return self.apply(args, kwargs, body=body, **options)
        copy = self.clone()
        if body is not None:
            copy.body = as_signature(body).clone()
        if copy.body is None:
            raise ImproperlyConfigured(f"{self!r} cannot be sent: give it a body, chord(header, body)")
        app = copy.app
        require_chords(app)
        given = {**copy.options, **{key: value for key, value in options.items() if value is not None}}
        shared = {key: value for key, value in given.items() if key not in _OF_HEADER | _OF_BODY | _PLACE}
        of_header = {**shared, **{key: given[key] for key in _OF_HEADER if key in given}}
        copy.options, place = {}, {key: given.get(key) for key in ("root_id", "parent_id")}
        for callback in _as_list(given.get("link")):
            copy.link(callback)
        for errback in _as_list(given.get("link_error")):
            copy.link_error(errback)
        copy.body = _followed(copy.body.clone(**shared) if shared else copy.body, given.get("chain"))
        result = copy.freeze(
            given.get("task_id"), given.get("group_id"), given.get("chord"), group_index=given.get("group_index"),
            **place,
        )  # fmt: skip
        header: group = copy.kwargs["header"]
        if not header.tasks:
            return copy.body.apply_async(([],), **{key: value for key, value in place.items() if value is not None})
        app.backend.open_chord(header.options["task_id"], len(header.tasks))
        embedded = shared_body(app, copy.body.outgoing(None, None, {})[0], len(header.tasks))
        for member in header.tasks:
            # Shared, not copied: it may be large.
            _last_options(member).update(chord=embedded, group_id=header.options["task_id"])
        partial = {key: value for key, value in copy.kwargs.items() if key not in ("kwargs", "header", "body")}
        if not copy.immutable:
            args = (*(args or ()), *copy.args)
            kwargs = {**(copy.kwargs.get("kwargs") or {}), **partial, **(kwargs or {})}
        else:
            args, kwargs = copy.args, partial
        header.send(args, kwargs, of_header)
        if given.get("add_to_parent", True):
            record_child(result)
        return result

    run = apply_async

    def outgoing(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Signature | None, Any]:
        """Itself, with these arguments for its header, and these options."""
        later = options.get("chain")
        copy = self.clone(args, kwargs, **{key: value for key, value in options.items() if key != "chain"})
        if later:
            copy.body = _followed(copy.body, later)
        return copy, None

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> Any:
        """Give ids to its tasks without sending them; returns the result of the body.

        Groups in the header become part of it, and a chain in it that ends in a group gets a step that makes one list
        of its results, so that each task of the header has one result.
        """
        header = self.kwargs["header"]
        if not isinstance(header, group):
            header = group(header, app=self._app)
        members = [as_one(member) for member in flat_members(header)]
        frozen = group(members, app=self._app)
        frozen.options = dict(header.options)
        above = frozen.freeze(None, root_id=root_id, parent_id=parent_id)
        frozen.options = {"task_id": frozen.options["task_id"]}
        for member in frozen.tasks:
            # Celery, when it sends a chord that was frozen, makes a new id for the group.
            _last_options(member).pop("group_id", None)
        self.kwargs["header"] = frozen
        if self.body is None:
            return above
        result = self.body.freeze(
            self.options.pop("task_id", None) or _id, group_id=group_id, chord=chord, root_id=root_id,
            group_index=group_index,
        )  # fmt: skip
        first = result
        while first.parent is not None:
            first = first.parent
        first.parent = above
        return result

    _freeze = freeze

    def apply(
        self, args: Any = None, kwargs: Any = None, propagate: bool = True, body: Any = None, **options: Any
    ) -> Any:
        """Run header and body here and now; returns the `EagerResult` of the body.

        Args:
            args: Go in front of the positional arguments of each task of the header.
            kwargs: Go over the keyword arguments of each task of the header.
            propagate: Raise the exception of a task of the header; False gives it to the body as its value.
            body: Takes the place of its body.
            **options: Of the call.
        """
        given = {key: value for key, value in options.items() if value is not None}
        of_body = {key: given.pop(key) for key in _OF_BODY & given.keys()}
        for key in _OF_HEADER:
            given.pop(key, None)
        of_body.pop("chain", None)
        last = as_signature(body) if body is not None else self.body
        if last is None:
            raise ImproperlyConfigured(f"{self!r} cannot run: give it a body, chord(header, body)")
        partial = {key: value for key, value in self.kwargs.items() if key not in ("kwargs", "header", "body")}
        members = [as_one(member) for member in flat_members(group(self.tasks, app=self._app))]
        header = group(members, app=self._app).clone(self.args, partial)
        above = header.apply(*((None, None) if self.immutable else (args, kwargs)), **given)
        result = last.apply((above.get(propagate=propagate),), **given, **of_body)
        result.parent = above
        return result

    # ------------------------------------------------------------------ links and changes

    def link(self, callback: Any) -> Any:
        """Call ``callback`` with the result of the body; returns the callback."""
        if self.body is not None:
            self.body.link(callback)
        return callback

    def link_error(self, errback: Any) -> Any:
        """Call ``errback`` when the chord fails; returns the errback.

        With ``task_allow_error_cb_on_chord_header`` each task of the header gets it too.
        """
        if self.body is not None:
            self.body.link_error(errback)
        if self.app.conf.task_allow_error_cb_on_chord_header:
            for member in self.tasks:
                member.link_error(as_signature(errback).clone())
        return errback

    def set_immutable(self, immutable: bool) -> None:
        """Say of every task of the header whether arguments of a caller are ignored."""
        for member in self.tasks:
            member.set_immutable(immutable)

    def stamp(self: C, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> C:
        """Stamp all its tasks; returns itself. See `Signature.stamp`."""
        of_header = headers
        if visitor is not None:
            of_header = combine(headers, visitor.on_chord_header_start(self, **headers))
        for member in self.tasks:
            member.stamp(visitor, append_stamps, **of_header)
        if visitor is not None:
            visitor.on_chord_header_end(self, **of_header)
        if self.body is not None:
            if visitor is not None:
                headers = combine(headers, visitor.on_chord_body(self, **headers))
            self.body.stamp(visitor, append_stamps, **headers)
        return self

    def __length_hint__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        if self.body is None:
            return f"<chord without body: {self.tasks!r}>"
        if self.body.subtask_type == "chain":
            first, *rest = self.body.tasks
            texts = [_call_of(first, self.tasks), *map(repr, rest)]
            return f"%({' | '.join(without_repeated_module(texts, first.name))})"
        return f"%{_call_of(self.body, self.tasks)}"


def _call_of(body: Signature, header: list[Any]) -> str:
    name, bracket, arguments = body.reprcall(header).partition("(")
    module = body.name.rpartition(".")[0]
    return name + bracket + (arguments.replace(f"{module}.", "") if module else arguments)


def require_chords(app: AppLike) -> None:
    """Make sure that the result backend can join chords.

    Raises:
        NotImplementedError: It cannot.
    """
    if not app.backend.capabilities.chords:
        raise NotImplementedError(chords_refused(app.backend.url))


def _body(body: Any) -> Any:
    return None if body is None else as_signature(body)


def _members(header: Any) -> list[Signature]:
    """The tasks of what a header may be given as."""
    if isinstance(header, group):
        return header.own_members()
    if isinstance(header, Signature):
        return [as_signature(each) for each in header.kwargs["tasks"]] if header.subtask_type == "chain" else [header]
    if isinstance(header, dict):
        return _members(as_signature(header))
    if not isinstance(header, Iterable) or isinstance(header, str):
        header = (header,)
    return [as_signature(each) for each in header]


def as_one(member: Signature) -> Signature:
    """A workflow with one result: if it ends in a group, a step is added that returns the list of the group's."""
    if not _ends_in_group(member):
        return member
    collect = Signature("celery.accumulate", kwargs={"index": 0}, options=_route_of(member), app=member._app)
    joined: Signature = member | collect
    return joined


def _route_of(sig: Any) -> dict[str, Any]:
    """Where the last task of a workflow goes: whoever consumes that can consume what follows it."""
    while sig.subtask_type in ("chain", "group", "chord"):
        inner = sig.body if sig.subtask_type == "chord" else sig.tasks[-1] if sig.tasks else None
        if inner is None:
            break
        sig = inner
    return {key: sig.options[key] for key in ("queue", "exchange", "routing_key", "priority") if key in sig.options}


def _ends_in_group(sig: Any) -> bool:
    kind = sig.subtask_type
    if kind == "chain":
        return bool(sig.tasks) and _ends_in_group(sig.tasks[-1])
    return _ends_in_group(sig.body) if kind == "chord" and sig.body is not None else kind == "group"


def _last_options(member: Any) -> dict[str, Any]:
    """Options of the last task of a frozen part of a header, whose result is that of the part."""
    while member.subtask_type in ("chain", "chord"):
        member = member.kwargs["tasks"][-1] if member.subtask_type == "chain" else member.body
    options: dict[str, Any] = member.options
    return options


def _followed(body: Any, later: Any) -> Any:
    """The body, with the rest of the chain behind it.

    Args:
        body: The body; changed in place where it can be.
        later: Further steps, the next one last.
    """
    if not later:
        return body
    if body.subtask_type is None:
        body.options["chain"] = [*later, *(body.options.get("chain") or ())]
        return body
    for step in reversed(later):
        body = body | as_signature(step)
    return body


def _as_list(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
