"""`Signature`: a call as a value, a dictionary on the wire.  Workflows are in the modules beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from celeriac.canvas.stamping import apply_stamps, combine
from celeriac.current import get_current_app
from celeriac.utils.uuid import uuid4 as uuid

if TYPE_CHECKING:
    from celeriac.canvas.stamping import StampingVisitor
    from celeriac.current import AppLike
    from celeriac.result import AsyncResult

__all__ = [
    "MAPPED", "Signature", "as_signature", "maybe_signature", "signature", "signature_of", "without_repeated_module",
]  # fmt: skip

S = TypeVar("S", bound="Signature")

#: Options that a later call does not replace once they are set.
_IMMUTABLE_OPTIONS = frozenset({"group_id", "stamped_headers"})
#: Built-in tasks that call another one; they are routed as that.
MAPPED = frozenset({"celery.map", "celery.starmap", "celery.chunks"})


def _item(key: str, doc: str) -> Any:
    def read(self: Signature) -> Any:
        return self[key]

    def write(self: Signature, value: Any) -> None:
        self[key] = value

    return property(read, write, doc=doc)


def _option(key: str, doc: str) -> Any:
    def read(self: Signature) -> Any:
        return self.options.get(key)

    def write(self: Signature, value: Any) -> None:
        self.options[key] = value

    return property(read, write, doc=doc)


class Signature(dict[str, Any]):
    """A task with arguments and options, to be called later or passed on.

    Args:
        task: A task, its name, or a mapping in the serialized form.
        args: Positional arguments.
        kwargs: Keyword arguments.
        options: Options of `apply_async`.
        type: The task object, if `task` is a name.
        subtask_type: Kind of workflow; None is a plain task.
        immutable: Arguments of a caller, such as the result of a previous task, are ignored.
        app: The app; None is the current one.
        **ex: More options.
    """

    TYPES: ClassVar[dict[str, type[Signature]]] = {}
    _app: AppLike | None = None
    _type: Any = None

    task: str = _item("task", "Name of the task.")
    args: Any = _item("args", "Positional arguments.")
    kwargs: Any = _item("kwargs", "Keyword arguments.")
    options: dict[str, Any] = _item("options", "Options of the call.")
    subtask_type: str | None = _item("subtask_type", "Kind of workflow.")
    immutable: bool = _item("immutable", "Arguments of a caller are ignored.")
    id: str | None = _option("task_id", "Id the task will have, once frozen.")
    parent_id: str | None = _option("parent_id", "Task that started it.")
    root_id: str | None = _option("root_id", "First task of the workflow.")

    def __init__(
        self,
        task: Any = None,
        args: Any = None,
        kwargs: Any = None,
        options: Mapping[str, Any] | None = None,
        type: Any = None,
        subtask_type: str | None = None,
        immutable: bool = False,
        app: AppLike | None = None,
        **ex: Any,
    ) -> None:
        self._app = app
        if isinstance(task, str) or task is None:
            name, self._type = task, type
        elif isinstance(task, Mapping):
            super().__init__(task)
            # Protocol 1 of old, and callers who write the mapping themselves, leave parts out.
            for part, default in (("args", ()), ("kwargs", {}), ("options", {}), ("immutable", False)):
                if self.get(part) is None:
                    self[part] = default
            return
        else:
            name, self._type = task.name, task
        super().__init__(
            task=name,
            args=tuple(args or ()),
            kwargs=kwargs or {},
            options=dict(options or {}, **ex),
            subtask_type=subtask_type,
            immutable=immutable,
        )

    # ------------------------------------------------------------------ kinds and the wire form

    @classmethod
    def register_type(cls, name: str | None = None) -> Callable[[type[S]], type[S]]:
        """Register a subclass under its ``subtask_type``; a class decorator.

        Args:
            name: The type's name; None is the name of the class.
        """

        def register(subclass: type[S]) -> type[S]:
            cls.TYPES[name or subclass.__name__] = subclass
            return subclass

        return register

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], app: AppLike | None = None) -> Signature:
        """Rebuild a signature of its serialized form."""
        kind = d.get("subtask_type")
        if kind:
            target = cls.TYPES.get(kind)
            if target is None:
                known = f"known are {sorted(cls.TYPES)}"
                raise NotImplementedError(
                    f"Signatures of the type {kind!r} ({d.get('task')}) are not built yet; {known}"
                )
            if target is not cls:
                return target.from_dict(d, app=app)
        return Signature(d, app=app)

    def __json__(self) -> dict[str, Any]:
        return dict(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return signature, (dict(self),)

    # ------------------------------------------------------------------ calling

    @property
    def app(self) -> AppLike:
        """The app it will be sent by."""
        return self._app or get_current_app()

    @property
    def type(self) -> Any:
        """The task.

        Raises:
            NotRegistered: It is not registered in the app.
        """
        return self._type or self.app.tasks[self["task"]]

    @property
    def name(self) -> str:
        """Name of the task."""
        return cast("str", self["task"])

    def __call__(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Call the task here and now."""
        args, kwargs, _ = self._merge(partial_args, partial_kwargs, None)
        return self.type(*args, **kwargs)

    def delay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """Send it, with these arguments in front of and over its own."""
        return self.apply_async(partial_args, partial_kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, route_name: str | None = None, **options: Any) -> Any:
        """Send it.

        Args:
            args: Go in front of its own positional arguments.
            kwargs: Go over its own keyword arguments.
            route_name: Name that routers see instead of the task's.
            **options: Go over its own options; those that are None count as not given.
        """
        given = {key: value for key, value in options.items() if value is not None}
        if route_name is not None:
            given["route_name"] = route_name
        args, kwargs, merged = self._merge(args, kwargs, given)
        if self["task"] in MAPPED:
            merged.setdefault("route_name", kwargs["task"]["task"])
        task = self._type or self.app.tasks.get(self["task"])
        if task is None:
            return self.app.send_task(self["task"], args, kwargs, **merged)
        return task.apply_async(args, kwargs, **merged)

    async def adelay(self, *partial_args: Any, **partial_kwargs: Any) -> Any:
        """As `delay`, for coroutines: the event loop goes on while it is published."""
        return await self.aapply_async(partial_args, partial_kwargs)

    async def aapply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """As `apply_async`, for coroutines: the event loop goes on while it is published.

        Args:
            args: As for `apply_async`.
            kwargs: As for `apply_async`.
            **options: As for `apply_async`.
        """
        return await self.app.acall(self.apply_async, args, kwargs, **options)

    def outgoing(self, args: Any, kwargs: Any, options: Mapping[str, Any]) -> tuple[Signature | None, Any]:
        """What to send for it, with these arguments and options merged in, and the result if that is another's.

        Args:
            args: Go in front of its own positional arguments.
            kwargs: Go over its own keyword arguments.
            options: Go over its own options.
        """
        args, kwargs, merged = self._merge(args, kwargs, options)
        if self["task"] in MAPPED:
            merged.setdefault("route_name", kwargs["task"]["task"])
        made = Signature({**self, "args": args, "kwargs": kwargs, "options": merged}, app=self._app)
        made._type = self._type
        return made, None

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run it here and now; returns an `EagerResult`."""
        args, kwargs, merged = self._merge(args, kwargs, options)
        return self.type.apply(args, kwargs, **merged)

    def _merge(
        self, args: Any = None, kwargs: Any = None, options: Mapping[str, Any] | None = None, force: bool = False
    ) -> tuple[Any, Any, dict[str, Any]]:
        """Merge partial arguments: positional ones go in front, keywords and options over what is there."""
        own = self.options
        fixed = _IMMUTABLE_OPTIONS | set(own.get("stamped_headers") or ())
        given = options or {}
        merged = {**own, **{key: value for key, value in given.items() if not (key in fixed and key in own)}}
        if self.immutable and not force:
            return self.args, self.kwargs, merged
        positional = (*args, *self.args) if args else self.args
        return positional, {**self.kwargs, **kwargs} if kwargs else self.kwargs, merged

    # ------------------------------------------------------------------ copies and changes

    def clone(self: S, args: Any = None, kwargs: Any = None, **options: Any) -> S:
        """A copy with these arguments and options merged in."""
        if args or kwargs or options:
            args, kwargs, merged = self._merge(args, kwargs, options)
        else:
            args, kwargs, merged = self.args, self.kwargs, self.options
        copy = signature(
            {
                "task": self["task"],
                "args": list(args) if isinstance(args, list) else tuple(args),
                "kwargs": deepcopy(kwargs) if kwargs else {},
                "options": deepcopy(merged),
                "subtask_type": self.get("subtask_type"),
                "immutable": self.get("immutable", False),
            },
            app=self._app,
        )
        copy._type = self._type
        return cast("S", copy)

    partial = clone

    def __deepcopy__(self: S, memo: dict[int, Any]) -> S:
        memo[id(self)] = self
        return self.clone()

    def replace(self: S, args: Any = None, kwargs: Any = None, options: Any = None) -> S:
        """A copy with arguments or options exchanged wholesale."""
        copy = self.clone()
        if args is not None:
            copy.args = args
        if kwargs is not None:
            copy.kwargs = kwargs
        if options is not None:
            copy.options = options
        return copy

    def set(self: S, immutable: bool | None = None, **options: Any) -> S:
        """Set options in place; returns itself."""
        if immutable is not None:
            self.set_immutable(immutable)
        self.options.update(options)
        return self

    def set_immutable(self, immutable: bool) -> None:
        """Say whether arguments of a caller are ignored."""
        self.immutable = immutable

    def freeze(
        self,
        _id: str | None = None,
        group_id: str | None = None,
        chord: Any = None,
        root_id: str | None = None,
        parent_id: str | None = None,
        group_index: int | None = None,
    ) -> AsyncResult[Any]:
        """Give it an id without sending it; returns its future result."""
        options = self.options
        task_id = options.get("task_id") or _id or uuid()
        options["task_id"] = task_id
        if options.get("reply_to") is None:
            options["reply_to"] = self.app.backend.expect((task_id,)) or self.app.thread_oid
        given = {"root_id": root_id, "parent_id": parent_id, "chord": chord, "group_index": group_index}
        options.update((key, value) for key, value in given.items() if value is not None)
        if group_id is not None:
            options.setdefault("group_id", group_id)
        return cast("AsyncResult[Any]", self.app.AsyncResult(task_id))

    _freeze = freeze

    # ------------------------------------------------------------------ links

    def link(self, callback: Any) -> Any:
        """Call ``callback`` with the result when it succeeds; returns the callback."""
        return self.append_to_list_option("link", callback)

    def link_error(self, errback: Any) -> Any:
        """Call ``errback`` when it fails; returns the errback."""
        return self.append_to_list_option("link_error", errback)

    def on_error(self: S, errback: Any) -> S:
        """As `link_error`, but returns this signature."""
        self.link_error(errback)
        return self

    def append_to_list_option(self, key: str, value: Any) -> Any:
        """Append to an option that is a list, unless it is there; returns the value.

        Args:
            key: Name of the option, such as ``link``.
            value: What to append.
        """
        items = self.options.setdefault(key, [])
        if isinstance(items, tuple) or not isinstance(items, list):
            items = self.options[key] = list(items) if isinstance(items, tuple) else [items]
        if value not in items:
            items.append(value)
        return value

    def extend_list_option(self, key: str, value: Any) -> None:
        """Append several values, or one, to an option that is a list.

        Args:
            key: Name of the option, such as ``link``.
            value: What to append.
        """
        self.options[key] = [*_as_list(self.options.get(key)), *_as_list(value)]

    def flatten_links(self) -> list[Any]:
        """It, and all that is linked to it, recursively."""
        links = [maybe_signature(link, app=self._app) for link in _as_list(self.options.get("link"))]
        return [self, *(item for link in links if link is not None for item in link.flatten_links())]

    # ------------------------------------------------------------------ stamps

    def stamp(self: S, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> S:
        """Stamp it, all tasks in it and all that are linked to them; returns itself.

        Stamps travel as headers with each message; tasks find them in ``self.request.stamps``. Once set they are
        not changed by the options of a call.

        Args:
            visitor: Says what to stamp each part with.
            append_stamps: Add to stamps of the same name instead of replacing them.
            **headers: Stamps of every part.
        """
        self.stamp_links(visitor, append_stamps, **headers)
        if visitor is not None:
            headers = combine(headers, visitor.on_signature(self, **headers))
        apply_stamps(self.options, headers, append=append_stamps)
        return self

    def stamp_links(self, visitor: StampingVisitor | None = None, append_stamps: bool = False, **headers: Any) -> None:
        """Stamp what is linked to it; the arguments are those of `stamp`."""
        for key in ("link", "link_error"):
            links = _as_list(self.options.get(key))
            if not links:
                continue
            self.options[key] = links = [as_signature(link) for link in links]
            for link in links:
                own: dict[str, Any] = headers
                if visitor is not None:
                    found = visitor.on_callback if key == "link" else visitor.on_errback
                    own = combine(headers, found(link, **headers))
                link.stamp(visitor, append_stamps, **own)

    def election(self) -> None:
        """Have workers choose one of them to run it.

        Raises:
            NotImplementedError: Workers of this version do not gossip, so they elect nobody.
        """
        app: Any = self.app
        app.control.election(self.id or uuid(), "task", action=self.clone())

    # ------------------------------------------------------------------ looks

    def reprcall(self, *args: Any, **kwargs: Any) -> str:
        """The call as it would look in Python, with these arguments merged in."""
        args, kwargs, _ = self._merge(args, kwargs, {}, force=True)
        parts = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
        return f"{self['task']}({', '.join(parts)})"

    def __repr__(self) -> str:
        return self.reprcall()

    def __or__(self, other: Any) -> Any:
        """A chain of the two, or what the rules of chains make of them.

        Raises:
            TypeError: The other one is no signature.
        """
        if not isinstance(other, Signature):
            if isinstance(other, Mapping):
                # Left to itself, Python would merge the two as the dicts they are.
                raise TypeError(f"{self!r} | {other!r}: only signatures can be joined; use signature(...)")
            return NotImplemented
        return self._join(other)

    __ior__ = __or__

    def __ror__(self, other: Any) -> Any:
        """Refuses: a dict would merge the signature into itself."""
        raise TypeError(f"{other!r} | {self!r}: only signatures can be joined; use signature(...)")

    #: What ``|`` makes of two signatures; `celeriac.canvas.chain`, which knows all kinds, sets it.
    _join: ClassVar[Callable[[Signature, Any], Any]]

    def __invert__(self) -> Any:
        return self.apply_async().get()


def _as_list(value: Any) -> list[Any]:
    if not value:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def signature(varies: Any, *args: Any, **kwargs: Any) -> Signature:
    """Make a signature.

    Args:
        varies: A serialized signature, a signature (which is copied), a task, or the name of one.
        *args: Further arguments of `Signature`.
        **kwargs: Further arguments of `Signature`.

    Example:
        ``signature("proj.add", args=(2, 2), countdown=10)``

    Raises:
        TypeError: It can be made of none of these.
    """
    if isinstance(varies, Signature):
        return varies.clone()
    if isinstance(varies, Mapping):
        return Signature.from_dict(varies, app=kwargs.get("app"))
    if not (varies is None or isinstance(varies, str) or hasattr(varies, "name")):
        raise TypeError(f"A task, its name or a signature is expected, got {varies!r}")
    return Signature(varies, *args, **kwargs)


def signature_of(task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Signature:
    """What `Signature` makes of a task and the arguments of a call, in a third of the time.

    Args:
        task: The task.
        args: Positional arguments.
        kwargs: Keyword arguments.
    """
    made = Signature.__new__(Signature)
    made.update(
        {"task": task.name, "args": args, "kwargs": kwargs, "options": {}, "subtask_type": None, "immutable": False}
    )
    made._app, made._type = task.app, task
    return made


def maybe_signature(d: Any, app: AppLike | None = None, clone: bool = False) -> Any:
    """Make sure that ``d`` is a signature.

    Args:
        d: A signature, a serialized one, or None, which is passed through.
        app: Set on the signature.
        clone: Copy a signature instead of passing it through.
    """
    if d is None:
        return None
    if isinstance(d, Signature):
        found = d.clone() if clone else d
    elif isinstance(d, Mapping):
        found = signature(dict(d), app=app)
    else:
        return d
    if app is not None:
        found._app = app
    return found


def as_signature(value: Any) -> Signature:
    """A signature of what users write where one is expected.

    Raises:
        TypeError: It is neither a signature nor a serialized one.
    """
    if isinstance(value, Signature):
        return value
    if isinstance(value, Mapping):
        return signature(dict(value))
    raise TypeError(f"A signature is expected, got {value!r}: use task.s(...)")


def without_repeated_module(texts: list[str], name: str) -> list[str]:
    """Texts of calls; the module of the first one's task is said once."""
    module = name.rpartition(".")[0]
    return [texts[0], *(text.replace(f"{module}.", "") if module else text for text in texts[1:])]
