"""Results of tasks: `AsyncResult` for one, `ResultSet` and `GroupResult` for several, `EagerResult` for a local one.

Where results are kept, and how a waiting client is told, is the backend's job.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.current import get_current_app, get_current_worker_request
from celeriac.exceptions import ImproperlyConfigured, IncompleteStream, TimeoutError

if TYPE_CHECKING:
    from celeriac.backend.base import ResultBackend
    from celeriac.current import AppLike

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
]

R = TypeVar("R")

_join_allowed: ContextVar[bool | None] = ContextVar("celeriac_join_allowed", default=None)


@contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow waiting for results inside a task. A pool whose slots all wait for one another never ends."""
    token = _join_allowed.set(True)
    try:
        yield
    finally:
        _join_allowed.reset(token)


@contextmanager
def denied_join_result() -> Iterator[None]:
    """Forbid waiting for results."""
    token = _join_allowed.set(False)
    try:
        yield
    finally:
        _join_allowed.reset(token)


def assert_will_not_block() -> None:
    """Complain when waiting for a result here could block a worker for ever.

    Raises:
        RuntimeError: A task is running, and neither `allow_join_result` nor ``disable_sync_subtasks=False`` says
            that it may wait.
    """
    allowed = _join_allowed.get()
    if allowed is None:
        request = get_current_worker_request()
        allowed = request is None or request.is_eager
    if not allowed:
        raise RuntimeError(
            "Never call result.get() within a task! It can block every slot of the pool. "
            "Use a link or a chain, or allow_join_result() if you are sure."
        )


class ResultBase:
    """What all results have in common."""

    parent: Any = None


class AsyncResult(ResultBase, Generic[R]):
    """The result of one task.

    Args:
        id: Id of the task.
        backend: Where the result is kept; None is the app's.
        task_name: Name of the task, if known.
        app: The app; None is the current one.
        parent: Result of the task that started it.

    Attributes:
        ignored: The task keeps no result; `get` returns None at once.

    Raises:
        ValueError: The id is None.
    """

    app: ClassVar[Any] = None
    _backend: ResultBackend | None = None
    _cache: ResultRecord | None = None
    _name: str | None = None
    ignored = False

    #: Raised by `get` when time is up.
    TimeoutError = TimeoutError

    def __init__(
        self,
        id: str,
        backend: ResultBackend | None = None,
        task_name: str | None = None,
        app: AppLike | None = None,
        parent: Any = None,
    ) -> None:
        if id is None:
            raise ValueError(f"{type(self).__name__} needs the id of a task, got None")
        self.id = id
        if backend is not None:
            self._backend = backend
        if task_name is not None:
            self._name = task_name
        if app is not None:
            self.app = app  # type: ignore[misc]
        if parent is not None:
            self.parent = parent

    # ------------------------------------------------------------------ reading

    @property
    def backend(self) -> ResultBackend:
        """Where the result is kept."""
        if self._backend is not None:
            return self._backend
        return cast("AppLike", self.app or get_current_app()).backend

    @backend.setter
    def backend(self, backend: ResultBackend) -> None:
        self._backend = backend

    def _record(self) -> ResultRecord:
        """What is stored; a final record is kept and never asked for again."""
        if self._cache is not None:
            return self._cache
        record = self.backend.load_many([self.id]).get(self.id)
        if record is None:
            return ResultRecord(self.id, states.PENDING)
        return self._keep(record)

    def _keep(self, record: ResultRecord) -> ResultRecord:
        if record.status in states.READY_STATES:
            self._cache = record
        return record

    @property
    def task_id(self) -> str:
        """Id of the task."""
        return self.id

    @task_id.setter
    def task_id(self, value: str) -> None:
        self.id = value

    @property
    def state(self) -> str:
        """Its state; PENDING also when nothing is known about it."""
        return self._record().status

    status = state

    @property
    def result(self) -> Any:
        """Return value, or the exception, or what a custom state holds."""
        return self._record().result

    info = result

    @property
    def traceback(self) -> str | None:
        """Text of the traceback of a failure."""
        return self._record().traceback

    @property
    def children(self) -> list[Any] | None:
        """Results of the tasks it started; None when they were not recorded."""
        children = self._record().children
        if children is None:
            return None
        return [result_from_tuple(child, app=self.app) for child in children]

    def _extra(self, key: str) -> Any:
        return (self._record().extra or {}).get(key)

    @property
    def name(self) -> str | None:
        """Name of the task; stored with ``result_extended``."""
        return self._name or self._extra("name")

    @property
    def args(self) -> Any:
        """Positional arguments; stored with ``result_extended``."""
        return self._extra("args")

    @property
    def kwargs(self) -> Any:
        """Keyword arguments; stored with ``result_extended``."""
        return self._extra("kwargs")

    @property
    def worker(self) -> str | None:
        """Node name of the worker; stored with ``result_extended``."""
        return cast("str | None", self._extra("worker"))

    @property
    def retries(self) -> int | None:
        """How often it was retried; stored with ``result_extended``."""
        return cast("int | None", self._extra("retries"))

    @property
    def queue(self) -> str | None:
        """Queue it came from; stored with ``result_extended``."""
        return cast("str | None", self._extra("queue"))

    @property
    def date_done(self) -> datetime | None:
        """When it ended."""
        date: Any = self._record().date_done
        return datetime.fromisoformat(date) if isinstance(date, str) else date

    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Whether it succeeded."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Whether it failed."""
        return self.state == states.FAILURE

    def exists(self) -> bool:
        """Whether anything is stored about it."""
        return self._cache is not None or self.id in self.backend.load_many([self.id])

    # ------------------------------------------------------------------ waiting

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        no_ack: bool = True,
        follow_parents: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None,
        disable_sync_subtasks: bool = True,
        EXCEPTION_STATES: Any = states.EXCEPTION_STATES,  # noqa: N803 - Celery's name
        PROPAGATE_STATES: Any = states.PROPAGATE_STATES,  # noqa: N803 - Celery's name
    ) -> R:
        """Wait for the result and return it.

        Args:
            timeout: Seconds to wait; None waits for ever.
            propagate: Raise the task's exception; False returns it.
            interval: Seconds between two calls of ``on_interval``. Waiting is by notification: there is no polling.
            no_ack: Has no effect: drivers acknowledge reply messages as they are read.
            follow_parents: Raise the failure of a parent, after which this task will never run.
            callback: Called with the task's id and its value.
            on_message: Called with the final record, as a dictionary.
            on_interval: Called every ``interval`` seconds of waiting.
            disable_sync_subtasks: Refuse to wait inside a task.
            EXCEPTION_STATES: Has no effect: kept for its place in the signature.
            PROPAGATE_STATES: States whose exception is raised.

        Raises:
            TimeoutError: It is not ready after ``timeout`` seconds.
            RuntimeError: Called inside a task.
            Exception: The task's own exception.
        """
        if self.ignored:
            return cast("R", None)
        if disable_sync_subtasks:
            assert_will_not_block()
        if follow_parents and propagate:
            self._raise_parent_error()
        if self._cache is None:
            self._keep(_wait_for(self.backend, self.id, timeout, interval, on_interval))
        record = cast("ResultRecord", self._cache)
        if on_message is not None:
            on_message(_as_meta(record))
        if propagate and record.status in PROPAGATE_STATES:
            self.maybe_throw(callback=callback)
        elif callback is not None:
            callback(self.id, record.result)
        return cast("R", record.result)

    wait = get

    def _raise_parent_error(self) -> None:
        for node in reversed(list(self._parents())):
            node.maybe_throw()

    def _parents(self) -> Iterator[Any]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def maybe_throw(self, propagate: bool = True, callback: Callable[[str, Any], object] | None = None) -> Any:
        """Raise the exception of a failed task.

        Args:
            propagate: False raises nothing.
            callback: Called with the task's id and its value.

        Returns:
            What is stored as its result.
        """
        record = self._cache or self._record()
        if propagate and record.status in states.PROPAGATE_STATES:
            raise _exception(record)
        if callback is not None:
            callback(self.id, record.result)
        return record.result

    maybe_reraise = maybe_throw

    def throw(self, *args: Any, **kwargs: Any) -> Any:
        """As `maybe_throw`."""
        return self.maybe_throw(*args, **kwargs)

    def then(self, callback: Any, on_error: Any = None, weak: bool = False) -> Any:
        """Not supported: wait with `get`, or give the call a ``link``.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("AsyncResult.then() is not supported: use get(callback=...) or a link")

    # ------------------------------------------------------------------ acting

    def forget(self) -> None:
        """Delete it, and those of its parents, from the backend."""
        self._cache = None
        for node in self._parents():
            node.forget()
        self.backend.forget_many([self.id])

    def revoke(
        self,
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Tell all workers to skip the task.

        Args:
            connection: Not supported; must be None.
            terminate: Also kill it if it runs.
            signal: Signal to kill with.
            wait: Wait for answers.
            timeout: Seconds to wait for them.
        """
        app: Any = self.app or get_current_app()
        return app.control.revoke(
            self.id, connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout
        )

    # ------------------------------------------------------------------ graphs

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Pairs of parent and result for it and all it started, breadth first.

        Args:
            intermediate: Pass over results that are not ready.

        Raises:
            IncompleteStream: One is not ready.
        """
        stack: deque[tuple[Any, Any]] = deque([(None, self)])
        is_incomplete = False
        while stack:
            parent, node = stack.popleft()
            yield parent, node
            if node.ready():
                stack.extend((node, child) for child in node.children or ())
            else:
                is_incomplete = True
        if is_incomplete and not intermediate:
            raise IncompleteStream(f"Not every result below {self.id} is ready")

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Pairs of result and value for it and all it started.

        Args:
            intermediate: Pass over results that are not ready.
            **kwargs: Given to `get`.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    def get_leaf(self) -> Any:
        """Value of the last task of all it started."""
        value = None
        for _, node in self.iterdeps():
            value = node.get()
        return value

    def as_tuple(self) -> tuple[Any, Any]:
        """The form in which it is stored: ``((id, parent), None)``."""
        parent = self.parent
        return (self.id, parent and parent.as_tuple()), None

    def as_list(self) -> list[str]:
        """Its id and those of its parents."""
        own = [self.id]
        if self.parent is not None:
            own.extend(self.parent.as_list())
        return own

    @property
    def supports_native_join(self) -> bool:
        """Whether many results are waited for in one go; always."""
        return True

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, AsyncResult):
            return bool(other.id == self.id)
        if isinstance(other, str):
            return other == self.id
        return NotImplemented

    def __copy__(self) -> AsyncResult[R]:
        return type(self)(self.id, self._backend, self._name, None, self.parent)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncResult, (self.id, None, self._name, None, self.parent)


def _wait_for(
    backend: ResultBackend, task_id: str, timeout: float | None, interval: float, on_interval: Any
) -> ResultRecord:
    """Wait for one record, in slices if somebody wants to be told about each."""
    if on_interval is None:
        return _first(backend, task_id, timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = interval if deadline is None else min(interval, deadline - time.monotonic())
        try:
            return _first(backend, task_id, max(left, 0.0))
        except TimeoutError:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            on_interval()


def _first(backend: ResultBackend, task_id: str, timeout: float | None) -> ResultRecord:
    for record in backend.watch([task_id], timeout=timeout):
        return record
    raise TimeoutError(f"The result of task {task_id} did not arrive: {backend.url} gave up without a reason")


def _exception(record: ResultRecord) -> BaseException:
    value = record.result
    return value if isinstance(value, BaseException) else Exception(value)


def _as_meta(record: ResultRecord) -> dict[str, Any]:
    return {
        "status": record.status,
        "result": record.result,
        "traceback": record.traceback,
        "children": record.children,
        "date_done": record.date_done,
        "task_id": record.task_id,
    }


class ResultSet(ResultBase):
    """Results of several tasks.

    Args:
        results: The results.
        app: The app; None is the current one.

    Attributes:
        results: The results, in order.
    """

    def __init__(self, results: Iterable[Any], app: AppLike | None = None, **kwargs: Any) -> None:
        if kwargs.pop("ready_barrier", None) is not None or kwargs:
            raise TypeError(f"ResultSet does not support {sorted(kwargs) or ['ready_barrier']}")
        self._app = app
        self.results: list[Any] = list(results)

    @property
    def app(self) -> Any:
        """The app."""
        return self._app or get_current_app()

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    @property
    def backend(self) -> ResultBackend:
        """Where the results are kept."""
        for result in self._leaves():
            return result.backend
        return cast("ResultBackend", self.app.backend)

    def add(self, result: Any) -> None:
        """Add a result, once."""
        if result not in self.results:
            self.results.append(result)

    def remove(self, result: Any) -> None:
        """Remove a result.

        Raises:
            KeyError: It is not here.
        """
        try:
            self.results.remove(result)
        except ValueError:
            raise KeyError(result) from None

    def discard(self, result: Any) -> None:
        """Remove a result if it is here."""
        if result in self.results:
            self.results.remove(result)

    def update(self, results: Iterable[Any]) -> None:
        """Add several results, each once."""
        for result in results:
            self.add(result)

    def clear(self) -> None:
        """Remove all."""
        self.results.clear()

    def _refresh(self) -> None:
        """Read what is not known to be final, all at once."""
        missing = [r for r in self._leaves() if r._cache is None and not r.ignored and not isinstance(r, EagerResult)]
        if missing:
            found = self.backend.load_many([result.id for result in missing])
            for result in missing:
                if result.id in found:
                    result._keep(found[result.id])

    def successful(self) -> bool:
        """Whether all succeeded."""
        self._refresh()
        return all(result.successful() for result in self.results)

    def failed(self) -> bool:
        """Whether any failed."""
        self._refresh()
        return any(result.failed() for result in self.results)

    def maybe_throw(self, callback: Any = None, propagate: bool = True) -> None:
        """Raise the exception of the first that failed."""
        for result in self.results:
            result.maybe_throw(callback=callback, propagate=propagate)

    maybe_reraise = maybe_throw

    def waiting(self) -> bool:
        """Whether any is not ready."""
        return not self.ready()

    def ready(self) -> bool:
        """Whether all are ready."""
        self._refresh()
        return all(result.ready() for result in self.results)

    def completed_count(self) -> int:
        """How many succeeded."""
        self._refresh()
        return sum(bool(result.successful()) for result in self.results)

    def forget(self) -> None:
        """Delete all from the backend."""
        for result in self.results:
            result.forget()

    def revoke(self, connection: Any = None, terminate: bool = False, signal: str | None = None,
               wait: bool = False, timeout: float | None = None) -> Any:  # fmt: skip
        """Tell all workers to skip the tasks. See `AsyncResult.revoke`."""
        return self.app.control.revoke(
            [result.id for result in self._leaves()],
            connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, index: int) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    def __eq__(self, other: object) -> bool:
        return other.results == self.results if isinstance(other, ResultSet) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: [{', '.join(r.id for r in self.results)}]>"

    @property
    def supports_native_join(self) -> bool:
        """Whether many results are waited for in one go; always."""
        return True

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None,
        no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> list[Any]:
        """Wait for all; returns their values in order.

        Args:
            timeout: Seconds to wait for all together; None waits for ever.
            propagate: Raise the exception of the first failure to arrive; False returns exceptions as values.
            interval: Seconds between two calls of ``on_interval``.
            callback: Called with id and value of each as it arrives; the returned list is then empty.
            no_ack: Has no effect, as in `AsyncResult.get`.
            on_message: Called with each record as it arrives, as a dictionary.
            disable_sync_subtasks: Refuse to wait inside a task.
            on_interval: Called every ``interval`` seconds of waiting.

        Raises:
            TimeoutError: Some are not ready in time.
            RuntimeError: Called inside a task.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        values: dict[str, Any] = {}
        for result, record in self._arrivals(timeout, interval, on_interval):
            if on_message is not None:
                on_message(_as_meta(record))
            if propagate and record.status in states.PROPAGATE_STATES:
                raise _exception(record)
            if callback is not None:
                callback(result.id, record.result)
            values[result.id] = record.result
        return [] if callback is not None else self._in_order(values)

    def _in_order(self, values: Mapping[str, Any]) -> list[Any]:
        """Values in the order of the results, those of a set in it as a list."""
        return [
            result._in_order(values) if isinstance(result, ResultSet) else values.get(result.id)
            for result in self.results
        ]

    def _leaves(self) -> Iterator[AsyncResult[Any]]:
        """Results of tasks, those of sets in it included."""
        for result in self.results:
            if isinstance(result, ResultSet):
                yield from result._leaves()
            else:
                yield result

    def join(self, *args: Any, on_message: Any = None, **kwargs: Any) -> list[Any]:
        """As `get`, without ``on_message``.

        Raises:
            ImproperlyConfigured: ``on_message`` was given.
        """
        if on_message is not None:
            raise ImproperlyConfigured("ResultSet.join() does not take on_message: use get() or join_native()")
        return self.get(*args, **kwargs)

    join_native = get

    def iter_native(
        self, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Pairs of id and record, as a dictionary, in order of arrival."""
        for result, record in self._arrivals(timeout, interval, on_interval):
            meta = _as_meta(record)
            if on_message is not None:
                on_message(meta)
            yield result.id, meta

    def _arrivals(
        self, timeout: float | None, interval: float, on_interval: Any
    ) -> Iterator[tuple[AsyncResult[Any], ResultRecord]]:
        """Records in order of arrival; those at hand come first."""
        waiting: dict[str, AsyncResult[Any]] = {}
        for result in self._leaves():
            if isinstance(result, EagerResult):
                yield result, result._record()
            elif result._cache is not None:
                yield result, result._cache
            elif not result.ignored:
                waiting[result.id] = result
        deadline = None if timeout is None else time.monotonic() + timeout
        while waiting:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            wait = left if on_interval is None else interval if left is None else min(interval, left)
            try:
                for record in self.backend.watch(list(waiting), timeout=wait):
                    result = waiting.pop(record.task_id)
                    yield result, result._keep(record)
            except TimeoutError:
                if on_interval is None or (deadline is not None and time.monotonic() >= deadline):
                    raise
                on_interval()


class GroupResult(ResultSet):
    """Results of a group, which can be saved under the group's id.

    Args:
        id: Id of the group.
        results: Results of its tasks.
        parent: Result before it.
        app: The app; None is the current one.
    """

    def __init__(
        self,
        id: str | None = None,
        results: Iterable[Any] | None = None,
        parent: Any = None,
        app: AppLike | None = None,
        **kwargs: Any,
    ) -> None:
        self.id = id
        self.parent = parent
        super().__init__(results or (), app=app, **kwargs)

    @property
    def children(self) -> list[Any]:
        """Results of its tasks."""
        return self.results

    def save(self, backend: ResultBackend | None = None) -> None:
        """Store it, so that `restore` can find it by its id."""
        (backend or self.app.backend).save_group(str(self.id), self.as_tuple())

    def delete(self, backend: ResultBackend | None = None) -> None:
        """Delete what `save` stored."""
        (backend or self.app.backend).delete_group(str(self.id))

    @classmethod
    def restore(
        cls,
        id: str,
        backend: ResultBackend | None = None,
        app: AppLike | None = None,
    ) -> Any:
        """A saved group, or None."""
        owner = app or get_current_app()
        stored = (backend or owner.backend).load_group(id)
        return None if stored is None else result_from_tuple(stored, app=owner)

    def as_tuple(self) -> tuple[Any, Any]:
        """The form in which it is stored: ``((id, parent), [...])``."""
        parent = self.parent
        return (self.id, parent and parent.as_tuple()), [result.as_tuple() for result in self.results]

    def __bool__(self) -> bool:
        return bool(self.id or self.results)

    def __str__(self) -> str:
        return str(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id} [{', '.join(r.id for r in self.results)}]>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, GroupResult):
            return bool(other.id == self.id and other.results == self.results and other.parent == self.parent)
        return other == self.id if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return GroupResult, (self.id, self.results, self.parent)


class EagerResult(AsyncResult[R]):
    """The result of a task that ran in place.

    Args:
        id: Id of the task.
        ret_value: Its value, or its exception.
        state: Its state.
        traceback: Text of the traceback.
        name: Name of the task.
    """

    def __init__(
        self,
        id: str,
        ret_value: Any,
        state: str,
        traceback: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(id, task_name=name)
        self._eager = ResultRecord(id, state, ret_value, traceback)

    def _record(self) -> ResultRecord:
        return self._eager

    def ready(self) -> bool:
        """Always true."""
        return True

    def exists(self) -> bool:
        """Always true."""
        return True

    def get(  # type: ignore[override]
        self,
        timeout: float | None = None,
        propagate: bool = True,
        disable_sync_subtasks: bool = True,
        **kwargs: Any,
    ) -> R:
        """Its value; raises the task's exception unless ``propagate`` is False."""
        if disable_sync_subtasks:
            assert_will_not_block()
        record = self._eager
        if record.status in states.PROPAGATE_STATES and propagate:
            raise _exception(record)
        return cast("R", record.result)

    wait = get  # type: ignore[assignment]

    def forget(self) -> None:
        """There is nothing to delete."""

    def revoke(self, *args: Any, **kwargs: Any) -> None:
        """It has ended: only its state changes."""
        self._eager.status = states.REVOKED

    def __repr__(self) -> str:
        return f"<EagerResult: {self.id}>"

    def __copy__(self) -> EagerResult[R]:
        record = self._eager
        return EagerResult(self.id, record.result, record.status, record.traceback, self._name)

    def __reduce__(self) -> tuple[Any, ...]:
        record = self._eager
        return EagerResult, (self.id, record.result, record.status, record.traceback, self._name)


def result_from_tuple(r: Any, app: AppLike | None = None) -> Any:
    """Rebuild a result of its stored form.

    Args:
        r: What ``as_tuple`` returned, or a result, which is passed through.
        app: The app; None is the current one.
    """
    if isinstance(r, ResultBase):
        return r
    if isinstance(r, Mapping):
        raise TypeError(f"A stored result must be a tuple ((id, parent), children), got {r!r}")
    owner: Any = app or get_current_app()
    head, nodes = r
    task_id, parent = head if isinstance(head, list | tuple) else (head, None)
    parent = result_from_tuple(parent, owner) if parent else None
    if nodes is not None:
        return GroupResult(task_id, [result_from_tuple(node, owner) for node in nodes], parent=parent, app=owner)
    return owner.AsyncResult(task_id, parent=parent)
