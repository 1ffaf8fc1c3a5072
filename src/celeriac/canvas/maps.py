"""`xmap`, `xstarmap` and `chunks`: one task for many arguments, run inside one message for each part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from celeriac.canvas.group import group
from celeriac.canvas.signature import Signature, as_signature

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celeriac.current import AppLike

S = TypeVar("S", bound="_Mapped")

__all__ = ["chunks", "xmap", "xstarmap"]


class _Mapped(Signature):
    """What they share: a built-in task that calls another one.

    On the wire they are plain calls of that built-in task (``subtask_type`` is null), as Celery writes them.
    """

    _builtin = ""
    #: Copies are of the same class; those of `chunks` are plain calls, to be a step of a chain.
    _copies_alike = True

    def __init__(
        self, task: Any, it: Iterable[Any], app: AppLike | None = None, options: Any = None, **more: Any
    ) -> None:
        called = as_signature(task)
        kwargs = {"task": called, "it": list(it), **more}
        super().__init__(self._builtin, (), kwargs, options, immutable=True, app=app or called._app)

    def clone(self: S, args: Any = None, kwargs: Any = None, **options: Any) -> S:
        """A copy with these options merged in; arguments of callers are ignored."""
        copy = super().clone(args, kwargs, **options)
        if self._copies_alike:
            copy.__class__ = type(self)
        return copy


@Signature.register_type()
class xmap(_Mapped):  # noqa: N801 - Celery's name
    """Calls of a task, each with one item, in one message: ``[task(x) for x in it]``.

    Args:
        task: Signature of the task; its own arguments are not used.
        it: The items.
        app: The app.
        options: Options of the call.
    """

    _builtin = "celery.map"

    def __repr__(self) -> str:
        return f"[{self.kwargs['task']['task']}(x) for x in {self.kwargs['it']!r}]"


@Signature.register_type()
class xstarmap(_Mapped):  # noqa: N801 - Celery's name
    """Calls of a task, each with the arguments in one item, in one message: ``[task(*x) for x in it]``.

    Args:
        task: Signature of the task; its own arguments are not used.
        it: The items.
        app: The app.
        options: Options of the call.
    """

    _builtin = "celery.starmap"

    def __repr__(self) -> str:
        return f"[{self.kwargs['task']['task']}(*x) for x in {self.kwargs['it']!r}]"


@Signature.register_type()
class chunks(_Mapped):  # noqa: N801 - Celery's name
    """Calls of a task in parts of ``n``: a group with one message for each part.

    Args:
        task: Signature of the task; its own arguments are not used.
        it: Arguments of each call.
        n: Calls in one message.
        app: The app.
        options: Options of every message.

    Raises:
        ValueError: ``n`` is less than 1.
    """

    _builtin = "celery.chunks"
    _copies_alike = False

    def __init__(self, task: Any, it: Iterable[Any], n: int, app: AppLike | None = None, options: Any = None) -> None:
        if n < 1:
            raise ValueError(f"chunks(n={n!r}): a part holds at least one call")
        super().__init__(task, it, app=app, options=options, n=n)

    def __call__(self, **options: Any) -> Any:
        """Send it."""
        return self.apply_async(**options)

    def group(self) -> group:
        """The group it is sent as."""
        items, size, task = self.kwargs["it"], self.kwargs["n"], as_signature(self.kwargs["task"])
        parts = (items[at : at + size] for at in range(0, len(items), size))
        return group((xstarmap(task, part, app=self._app) for part in parts), app=self._app, **self.options)

    def apply_async(self, args: Any = None, kwargs: Any = None, route_name: str | None = None, **options: Any) -> Any:
        """Send the group; returns its `GroupResult`."""
        if route_name is not None:
            options["route_name"] = route_name
        return self.group().apply_async(args, kwargs, **options)

    def apply(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Run the group here and now; returns a `GroupResult`."""
        return self.group().apply(args, kwargs, **options)

    @classmethod
    def apply_chunks(cls, task: Any, it: Iterable[Any], n: int, app: AppLike | None = None) -> Any:
        """Make one and send it."""
        return cls(task, it, n, app=app)()
