"""The tasks every app has, under Celery's names where Celery has them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from celeriac.app.base import Celery

__all__ = ["BUILT_IN", "declare_builtins"]

#: How the names of built-in tasks begin: Celery's, and those that Celery does not have.
BUILT_IN = ("celery.", "celeriac.")


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
        with _called_in_place(app, task) as body:
            return [body(item) for item in it]

    @app.task(name="celery.starmap", **declare)
    def xstarmap(task: Any, it: Any) -> list[Any]:
        with _called_in_place(app, task) as body:
            return [body(*item) for item in it]

    @app.task(name="celery.chunks", **declare)
    def chunks(task: Any, it: Any, n: int) -> list[Any]:
        items = list(it)
        with _called_in_place(app, task) as body:
            return [[body(*item) for item in items[at : at + n]] for at in range(0, len(items), n)]

    _declare_workflows(app, declare)


def _declare_workflows(app: Celery, declare: dict[str, Any]) -> None:
    @app.task(name="celery.group", **declare)
    def group(tasks: Any, result: Any = None, group_id: Any = None, partial_args: Any = (), **options: Any) -> Any:
        """Send a group; older clients send groups as such."""
        from celeriac import canvas

        members = [canvas.maybe_signature(task, app=app) for task in tasks]
        return canvas.group(members, app=app).apply_async(partial_args, task_id=group_id, **options).as_tuple()

    @app.task(name="celery.chord", **declare)
    def chord(header: Any, body: Any, partial_args: Any = (), **options: Any) -> Any:
        """Send a chord; older clients send chords as such."""
        from celeriac import canvas

        whole = canvas.chord(canvas.maybe_signature(header, app=app), canvas.maybe_signature(body, app=app), app=app)
        return whole.apply_async(partial_args, **options).as_tuple()

    @app.task(name="celery.chord_unlock", bind=True, max_retries=None, ignore_result=True, **declare)
    def chord_unlock(
        self: Any,
        /,
        group_id: str,
        callback: Any,
        interval: float | None = None,
        max_retries: int | None = None,
        result: Any = None,
        **options: Any,
    ) -> None:
        """Conclude a chord whose results are there; else look again later.

        Clients of Celery send it with a result backend on which Celery cannot count; ours never do.
        """
        from celeriac.execution.chords import conclude_joined
        from celeriac.result import result_from_tuple

        ended = [result_from_tuple(each, app=app) for each in result or ()]
        if not all(each.ready() for each in ended):
            pause = app.conf.result_chord_retry_interval if interval is None else interval
            raise self.retry(countdown=pause, max_retries=max_retries)
        conclude_joined(app, self.request, group_id, callback, ended)

    @app.task(name="celeriac.resume", bind=True, **declare)
    def resume(self: Any, /, *args: Any, graph: str) -> None:
        """Go on with a workflow whose rest is in the result store; workers of Celery send it.

        Its id is that of the last task, whose result this is not: so it has none, unless it fails.
        """
        from celeriac.exceptions import Ignore
        from celeriac.execution.follow_up import resume

        resume(app, self.request, graph, args[0])
        raise Ignore

    @app.task(name="celery.chain", **declare)
    def chain(*args: Any, **kwargs: Any) -> None:
        """Refuses, as in Celery.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("celery.chain is no task to be sent by its name: build it with celeriac.chain()")


@contextmanager
def _called_in_place(app: Celery, task: Any) -> Iterator[Callable[..., Any]]:
    """The task of a signature, to be called within another task; waiting for results is allowed meanwhile."""
    from celeriac.canvas import maybe_signature
    from celeriac.result import allow_join_result

    with allow_join_result():
        yield maybe_signature(task, app=app).type
