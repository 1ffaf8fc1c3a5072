"""The result of one task: `AsyncResult`.  Where it is kept is the backend's business."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar, cast

from celeriac import states
from celeriac.backend.base import ResultRecord
from celeriac.current import get_current_app
from celeriac.exceptions import TimeoutError
from celeriac.result import graph
from celeriac.result.base import ResultBase
from celeriac.result.joining import assert_will_not_block
from celeriac.result.notice import Notice, notice
from celeriac.result.stored import result_from_tuple
from celeriac.result.waiting import as_meta, check_timeout, exception_of, load_pages, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from celeriac.backend.base import ResultBackend
    from celeriac.current import AppLike
    from celeriac.utils.graph import DependencyGraph

R = TypeVar("R")

#: Parents that are read at once, at least.
_PARENTS: Final = 100


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
    _graph: DependencyGraph | None = None
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
        return self._backend if self._backend is not None else self._owner.backend

    @backend.setter
    def backend(self, backend: ResultBackend) -> None:
        self._backend = backend

    @property
    def _owner(self) -> AppLike:
        return cast("AppLike", self.app or get_current_app())

    def _record(self) -> ResultRecord:
        """What is stored; a final record is kept and never asked for again."""
        if self._cache is not None:
            return self._cache
        record = self.backend.load_many([self.id]).get(self.id)
        if record is None:
            return ResultRecord(self.id, states.PENDING)
        return self.keep(record)

    def keep(self, record: ResultRecord) -> ResultRecord:
        """Remember a record that is final, so that the store need not be asked again; returns it."""
        if record.status in states.READY_STATES:
            self._cache = record
        return record

    def known_record(self) -> ResultRecord | None:
        """The final record, if it is known without asking the store."""
        return self._cache

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
        """When it ended, with its offset from UTC."""
        date: Any = self._record().date_done
        found: datetime | None = datetime.fromisoformat(date) if isinstance(date, str) else date
        # Stored without one it is UTC.
        return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found

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
            TypeError: ``timeout`` is no number.
            TimeoutError: It is not ready after ``timeout`` seconds.
            RuntimeError: Called inside a task.
            Exception: The task's own exception.
        """
        check_timeout(timeout)
        if self.ignored:
            return cast("R", None)
        if disable_sync_subtasks:
            assert_will_not_block()
        if follow_parents and propagate:
            self._raise_parent_error()
        if self._cache is None:
            self.keep(wait_for(self.backend, self.id, timeout, interval, on_interval))
        return self._deliver(propagate, callback, on_message, PROPAGATE_STATES)

    wait = get

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        follow_parents: bool = True,
        callback: Callable[[str, Any], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> R:
        """As `get`, for coroutines: it does not block the event loop, and no thread waits for this call.

        ``await result`` is ``await result.aget()``. Cancelling leaves nothing behind.

        Args:
            timeout: Seconds to wait; None waits for ever.
            propagate: Raise the task's exception; False returns it.
            follow_parents: Raise the failure of a parent as soon as it is known.
            callback: Called with the task's id and its value.
            on_message: Called with the final record, as a dictionary.
            disable_sync_subtasks: Refuse to wait inside a task.

        Raises:
            TypeError: ``timeout`` is no number.
            TimeoutError: It is not ready after ``timeout`` seconds.
            RuntimeError: Called inside a task.
            Exception: The task's own exception.
        """
        check_timeout(timeout)
        if self.ignored:
            return cast("R", None)
        if disable_sync_subtasks:
            assert_will_not_block()
        if self.known_record() is None:
            await self._arrival(timeout, follow_parents and propagate)
        return self._deliver(propagate, callback, on_message)

    def __await__(self) -> Generator[Any, None, R]:
        return self.aget().__await__()

    async def _arrival(self, timeout: float | None, follow_parents: bool) -> None:
        """Wait until its record is kept; raises the failure of a parent that comes before."""
        # See there why so late.
        from celeriac.result.awaiting import Arrivals

        awaited = {self.id: self}
        if follow_parents:
            awaited.update((node.id, node) for node in self._parents() if isinstance(node, AsyncResult))
            for node in self._parents():
                if node.known_record() is not None:
                    node.maybe_throw()
                    awaited.pop(node.id, None)
        with Arrivals(self.backend, awaited, timeout) as arrivals:
            while self.known_record() is None:
                for record in await arrivals.next():
                    if record.status in states.PROPAGATE_STATES and record.task_id != self.id:
                        raise exception_of(record, self._owner)

    def _deliver(
        self,
        propagate: bool,
        callback: Callable[[str, Any], object] | None,
        on_message: Callable[[dict[str, Any]], object] | None,
        propagate_states: Any = states.PROPAGATE_STATES,
    ) -> R:
        """Give the known record to who waited for it."""
        record = self._record()
        if on_message is not None:
            on_message(as_meta(record))
        if propagate and record.status in propagate_states:
            raise exception_of(record, self._owner)
        if callback is not None:
            callback(self.id, record.result)
        return cast("R", record.result)

    def _raise_parent_error(self) -> None:
        """Raise the failure of the first parent that failed.

        They are read from the first one on, page by page, as far as they have ended: no later one can have begun.
        """
        page: list[AsyncResult[Any]] = []
        for node in reversed(list(self._parents())):
            page += [node] if isinstance(node, AsyncResult) else node._leaves()
            if len(page) >= _PARENTS:
                if not self._have_succeeded(page):
                    return
                page = []
        self._have_succeeded(page)

    def _have_succeeded(self, parents: Sequence[AsyncResult[Any]]) -> bool:
        """Whether these have; raises the failure of the first that failed."""
        unknown = [node.id for node in parents if node.known_record() is None]
        found = dict(load_pages(self.backend, unknown))
        records = [node.known_record() or found.get(node.id) for node in parents]
        for node, record in zip(parents, records, strict=True):
            if record is not None and node.keep(record).status in states.PROPAGATE_STATES:
                raise exception_of(record, self._owner)
        return all(record is not None and record.status == states.SUCCESS for record in records)

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
            raise exception_of(record, self._owner)
        if callback is not None:
            callback(self.id, record.result)
        return record.result

    maybe_reraise = maybe_throw

    def throw(self, exc: BaseException | None = None, **kwargs: Any) -> Any:
        """Raise an exception for the task, or its own.

        Args:
            exc: Raised as it is; None is as `maybe_throw`.
            **kwargs: As for `maybe_throw`.
        """
        if exc is not None:
            raise exc
        return self.maybe_throw(**kwargs)

    def then(
        self,
        callback: Callable[[AsyncResult[R]], object],
        on_error: Callable[[Exception], object] | None = None,
        weak: bool = False,
    ) -> Notice:
        """Call a function when it has ended, whatever the outcome.

        The call comes from a thread that all such waits of the process share, or at once if the end is known
        already; a function that takes long holds up the others.

        Args:
            callback: Called with this result.
            on_error: Called with the exception that ``callback`` raised, or with the error of a store that failed,
                after which ``callback`` is not called; None logs it.
            weak: Do not keep this result alive; if nobody else does, ``callback`` is not called.

        Returns:
            Its `cancel` prevents the call.
        """
        return notice(self, [self], callback, on_error, weak)

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

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        connection: Any = None,
        terminate: bool = False,
        signal: str | None = None,
        wait: bool = False,
        timeout: float | None = None,
    ) -> Any:
        """Tell all workers to skip tasks with these stamps.

        Args:
            headers: Names of stamps, and their values.
            connection: Not supported; must be None.
            terminate: Also kill those that run.
            signal: Signal to kill with.
            wait: Wait for answers.
            timeout: Seconds to wait for them.
        """
        app: Any = self.app or get_current_app()
        return app.control.revoke_by_stamped_headers(
            headers, connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout
        )

    # ------------------------------------------------------------------ graphs

    def iterdeps(self, intermediate: bool = False) -> Iterator[tuple[Any, Any]]:
        """Pairs of parent and result for it and all it started, breadth first.

        Args:
            intermediate: Pass over results that are not ready.

        Raises:
            IncompleteStream: One is not ready.
        """
        return graph.iterate(self, intermediate)

    def collect(self, intermediate: bool = False, **kwargs: Any) -> Iterator[tuple[Any, Any]]:
        """Pairs of result and value for it and all it started.

        Args:
            intermediate: Pass over results that are not ready.
            **kwargs: Given to `get`.
        """
        for _, node in self.iterdeps(intermediate=intermediate):
            yield node, node.get(**kwargs)

    @property
    def graph(self) -> DependencyGraph:
        """It and all it started as a graph, made at the first use."""
        if self._graph is None:
            self._graph = self.build_graph()
        return self._graph

    def build_graph(self, intermediate: bool = False, formatter: Any = None) -> DependencyGraph:
        """It and all it started as a graph.

        Args:
            intermediate: Pass over results that are not ready.
            formatter: Writes the graph in another form than DOT's.

        Raises:
            IncompleteStream: One is not ready.
        """
        return graph.build(self, intermediate, formatter)

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
