"""Publishing many calls in chunks, each pipelined and confirmed as one.  Three chunks are in memory at most."""

from __future__ import annotations

import threading
from itertools import islice
from queue import Queue as ThreadQueue
from typing import TYPE_CHECKING, Any

from celeriac import signals
from celeriac.app.client import add_to_parent, announce_published, prepare
from celeriac.app.options import TaskOptions, resolve_options
from celeriac.canvas.signature import Signature, maybe_signature
from celeriac.current import get_current_worker_request
from celeriac.exceptions import ImproperlyConfigured
from celeriac.utils.uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from celeriac.app.base import Celery
    from celeriac.broker.topology import Queue
    from celeriac.message import Publication

__all__ = ["publish_many"]


#: One call: its options, its arguments, its id, and the task when it is registered here.
_Call = tuple[TaskOptions, Any, Any, str, Any]


def publish_many(
    app: Celery, signatures: Iterable[Any], *, chunk: int, timeout: float | None, results: bool
) -> list[Any] | int:
    """See `Celery.publish_many`."""
    if chunk < 1:
        raise ValueError(f"publish_many(chunk={chunk!r}): a chunk holds at least one call")
    iterator = iter(signatures)
    made = _prepare_chunk(app, islice(iterator, chunk))
    if len(made.calls) < chunk:
        _publish_chunk(app, made, timeout)
        return _results(app, made.calls) if results else len(made.calls)
    collected: list[Any] = []
    count = 0
    with _Background(app, timeout) as background:
        while made.calls:
            background.publish(made)
            count += len(made.calls)
            if results:
                collected += _results(app, made.calls)
            made = _prepare_chunk(app, islice(iterator, chunk))
    return collected if results else count


class _Chunk:
    """Calls and the messages made of them."""

    __slots__ = ("calls", "declare", "publications")

    def __init__(self, calls: list[_Call], publications: list[Publication], declare: list[Queue]) -> None:
        self.calls = calls
        self.publications = publications
        self.declare = declare


class _Background:
    """Publishes chunks in a thread of its own while the next are made: neither client nor server waits idly.

    At most one chunk waits behind the one in flight, so that the thread goes on without waiting for its owner. After
    an error nothing more is published; the next call raises it, or the end.
    """

    def __init__(self, app: Celery, timeout: float | None) -> None:
        self._app = app
        self._timeout = timeout
        self._todo: ThreadQueue[_Chunk | None] = ThreadQueue(maxsize=1)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publish_many", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._todo.put(None)
        self._thread.join()
        if kind is None:
            self._raise_error()

    def publish(self, chunk: _Chunk) -> None:
        """Hand over a chunk; waits while another one waits."""
        self._raise_error()
        self._todo.put(chunk)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while (chunk := self._todo.get()) is not None:
                if self._error is not None:
                    continue
                try:
                    _publish_chunk(self._app, chunk, self._timeout)
                except BaseException as error:
                    self._error = error
        finally:
            self._app.sessions.drop()


def _prepare_chunk(app: Celery, signatures: Iterable[Any]) -> _Chunk:
    calls = [_call(app, item) for item in signatures]
    expected = [task_id for options, _, _, task_id, _ in calls if not options.ignore_result]
    reply_to = (app.backend.expect(expected) if expected else None) or app.sessions.oid
    parent = get_current_worker_request()
    publications = [
        prepare(app, options, args, kwargs, task_id, options.reply_to or reply_to, parent, task)
        for options, args, kwargs, task_id, task in calls
    ]
    declare = {queue: None for options, *_ in calls if options.declare for queue in options.declare}
    return _Chunk(calls, publications, list(declare))


def _publish_chunk(app: Celery, chunk: _Chunk, timeout: float | None) -> None:
    if any(options.publisher is not None for options, *_ in chunk.calls):
        for (options, *_), publication in zip(chunk.calls, chunk.publications, strict=True):
            (options.publisher or app.publisher).publish_many((publication,), timeout=timeout, declare=options.declare)
    else:
        app.publisher.publish_many(chunk.publications, timeout=timeout, declare=chunk.declare)
    if signals.after_task_publish.receivers or signals.task_sent.receivers:
        for (options, args, kwargs, task_id, _), publication in zip(chunk.calls, chunk.publications, strict=True):
            announce_published(options, args, kwargs, task_id, publication)


def _call(app: Celery, item: Any) -> _Call:
    """Resolve one signature; without options it costs a look-up."""
    sig = item if isinstance(item, Signature) else maybe_signature(item, app=app)
    if not isinstance(sig, Signature):
        raise TypeError(f"publish_many() takes signatures, got {item!r}: use task.s(...)")
    if sig["subtask_type"] is not None:
        raise ImproperlyConfigured(f"publish_many() takes plain task signatures, got a {sig.subtask_type}")
    args, kwargs, options = sig["args"], sig["kwargs"], sig["options"]
    task = app.tasks.get(sig["task"])
    if task is None:
        resolved = resolve_options(app, sig["task"], None, options)
    else:
        resolved, args, kwargs = task.resolved_call(args, kwargs, options)
    return resolved, args, kwargs, options.get("task_id") or uuid4(), task


def _results(app: Celery, calls: list[_Call]) -> list[Any]:
    parent, result_cls = get_current_worker_request(), app.AsyncResult
    made = []
    for options, _, _, task_id, _ in calls:
        result = (options.result_cls or result_cls)(task_id)
        if options.ignore_result:
            result.ignored = True
        if parent is not None and options.add_to_parent:
            add_to_parent(parent, result)
        made.append(result)
    return made
