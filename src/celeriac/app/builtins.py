"""The tasks every app has, under Celery's names.  Those of chords are not among them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import canvas
from celeriac.canvas.signature import maybe_signature
from celeriac.result import allow_join_result

if TYPE_CHECKING:
    from celeriac.app.base import Celery

__all__ = ["declare_builtins"]


def declare_builtins(app: Celery) -> None:
    """Declare the built-in tasks of an app."""
    declare = {"shared": False, "lazy": False, "typing": False}

    @app.task(name="celery.backend_cleanup", **declare)
    def backend_cleanup() -> None:
        app.backend.sweep()

    @app.task(name="celery.accumulate", **declare)
    def accumulate(*args: Any, **kwargs: Any) -> Any:
        index = kwargs.get("index")
        return args[index] if index is not None else args

    @app.task(name="celery.map", **declare)
    def xmap(task: Any, it: Any) -> list[Any]:
        body = maybe_signature(task, app=app).type
        with allow_join_result():
            return [body(item) for item in it]

    @app.task(name="celery.starmap", **declare)
    def xstarmap(task: Any, it: Any) -> list[Any]:
        body = maybe_signature(task, app=app).type
        with allow_join_result():
            return [body(*item) for item in it]

    @app.task(name="celery.chunks", **declare)
    def chunks(task: Any, it: Any, n: int) -> list[Any]:
        body = maybe_signature(task, app=app).type
        items = list(it)
        with allow_join_result():
            return [[body(*item) for item in items[at : at + n]] for at in range(0, len(items), n)]

    @app.task(name="celery.group", **declare)
    def group(tasks: Any, result: Any = None, group_id: Any = None, partial_args: Any = (), **options: Any) -> Any:
        """Send a group; older clients send groups as such."""
        members = [maybe_signature(task, app=app) for task in tasks]
        return canvas.group(members, app=app).apply_async(partial_args, task_id=group_id, **options).as_tuple()

    @app.task(name="celery.chain", **declare)
    def chain(*args: Any, **kwargs: Any) -> None:
        """Refuses, as in Celery.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("celery.chain is no task to be sent by its name: build it with celeriac.chain()")
