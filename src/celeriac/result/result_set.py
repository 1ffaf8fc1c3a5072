"""Results of several tasks: `ResultSet`."""

from __future__ import annotations

import time
from contextlib import aclosing, closing
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from celeriac import states
from celeriac.current import get_current_app
from celeriac.exceptions import ImproperlyConfigured, TimeoutError
from celeriac.result.base import ResultBase
from celeriac.result.joining import assert_will_not_block
from celeriac.result.notice import notice
from celeriac.result.waiting import as_meta, check_timeout, exception_of, load_pages

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Collection,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )
    from typing import Self

    from celeriac.backend.base import ResultBackend, ResultRecord
    from celeriac.current import AppLike
    from celeriac.result.async_result import AsyncResult


#: Sets of more results keep what arrives of them no longer than it takes to give its values, if it can be read again.
KEPT_RECORDS: Final = 1000


class ResultSet(ResultBase):
    """Results of several tasks.

    Args:
        results: The results.
        app: The app; None is the current one.
        ready_barrier: Something with a ``then(callback)`` of its own, which decides when functions given to `then`
            are called; None is when all results are ready.

    Attributes:
        results: The results, in order.
    """

    #: Set by the classes that apps make of this one.
    _app: AppLike | None = None

    def __init__(self, results: Iterable[Any], app: AppLike | None = None, ready_barrier: Any = None) -> None:
        self._ready_barrier = ready_barrier
        if app is not None:
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

    def _unknown(self) -> dict[str, AsyncResult[Any]]:
        """Results of tasks that have to be read, by id."""
        return {each.id: each for each in self._leaves() if each.known_record() is None and not each.ignored}

    def _refresh(self) -> None:
        """Read what is not known to be final, page by page."""
        missing = self._unknown()
        for task_id, record in load_pages(self.backend, list(missing)):
            missing[task_id].keep(record)

    def successful(self) -> bool:
        """Whether all succeeded."""
        self._refresh()
        return all(known(self._leaves(), {states.SUCCESS}))

    def failed(self) -> bool:
        """Whether any failed."""
        self._refresh()
        return any(known(self._leaves(), {states.FAILURE}))

    def maybe_throw(self, callback: Any = None, propagate: bool = True) -> None:
        """Raise the exception of the first that failed.

        Args:
            callback: Called with id and value of each before that one.
            propagate: False raises nothing.
        """
        self._refresh()
        for each in self._leaves():
            record = each.known_record()
            if record is not None and propagate and record.status in states.PROPAGATE_STATES:
                raise exception_of(record, self.app)
            if callback is not None:
                callback(each.id, None if record is None else record.result)

    maybe_reraise = maybe_throw

    def waiting(self) -> bool:
        """Whether any is not ready."""
        return not self.ready()

    def ready(self) -> bool:
        """Whether all are ready."""
        self._refresh()
        return all(known(self._leaves(), states.READY_STATES))

    def completed_count(self) -> int:
        """How many succeeded; a set in this one counts once all of it did."""
        self._refresh()
        return sum(
            all(known(each._leaves() if isinstance(each, ResultSet) else (each,), {states.SUCCESS}))
            for each in self.results
        )

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
        values, keeps = _Values(self.app, propagate, callback, on_message), self._keeps_records()
        # Closed at once when one failed: what came with it is kept for who asks next.
        with closing(self._arrivals(timeout, interval, on_interval)) as arrivals:
            for result, record in arrivals:
                if keeps:
                    result.keep(record)
                values.take(result.id, record)
        return [] if callback is not None else self._in_order(values.by_id)

    async def aget(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        *,
        callback: Callable[[str, Any], object] | None = None,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        disable_sync_subtasks: bool = True,
    ) -> list[Any]:
        """As `get`, for coroutines: it does not block the event loop, and no thread waits for this call.

        ``await results`` is ``await results.aget()``. Cancelling leaves nothing behind.

        Args:
            timeout: Seconds to wait for all together; None waits for ever.
            propagate: Raise the exception of the first failure to arrive; False returns exceptions as values.
            callback: Called with id and value of each as it arrives; the returned list is then empty.
            on_message: Called with each record as it arrives, as a dictionary.
            disable_sync_subtasks: Refuse to wait inside a task.

        Raises:
            TimeoutError: Some are not ready in time.
            RuntimeError: Called inside a task.
        """
        if disable_sync_subtasks:
            assert_will_not_block()
        values = _Values(self.app, propagate, callback, on_message)
        async with aclosing(self._async_arrivals(timeout)) as arrivals:
            async for result, record in arrivals:
                values.take(result.id, record)
        return [] if callback is not None else self._in_order(values.by_id)

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self.aget().__await__()

    async def __aiter__(self) -> AsyncIterator[AsyncResult[Any]]:
        """The results of the tasks, each as it becomes ready, whatever its outcome."""
        assert_will_not_block()
        async with aclosing(self._async_arrivals(None)) as arrivals:
            async for result, _ in arrivals:
                yield result

    def then(
        self,
        callback: Callable[[Self], object],
        on_error: Callable[[Exception], object] | None = None,
        weak: bool = False,
    ) -> Any:
        """Call a function with this set when all have ended, whatever the outcome. See `AsyncResult.then`."""
        if self._ready_barrier is not None:
            return self._ready_barrier.then(lambda *_: callback(self), on_error)
        return notice(self, list(self._leaves()), callback, on_error, weak)

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

    def join_native(
        self, timeout: float | None = None, propagate: bool = True, interval: float = 0.5,
        callback: Callable[[str, Any], object] | None = None, no_ack: bool = True,
        on_message: Callable[[dict[str, Any]], object] | None = None,
        on_interval: Callable[[], object] | None = None, disable_sync_subtasks: bool = True,
    ) -> list[Any]:  # fmt: skip
        """As `get`, with its arguments in another order."""
        return self.get(
            timeout, propagate, interval, callback, no_ack, on_message,
            disable_sync_subtasks=disable_sync_subtasks, on_interval=on_interval,
        )  # fmt: skip

    def iter_native(
        self, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_message: Any = None, on_interval: Any = None,
    ) -> Iterator[tuple[str, dict[str, Any]]]:  # fmt: skip
        """Pairs of id and record, as a dictionary, in order of arrival.

        Nothing of what was passed on is kept, so that a group of any size takes little memory, unless the store
        cannot give it again (``rpc://``).
        """
        must_keep = not self.backend.capabilities.persistent
        for result, record in self._arrivals(timeout, interval, on_interval):
            if must_keep:
                result.keep(record)
            meta = as_meta(record)
            if on_message is not None:
                on_message(meta)
            yield result.id, meta

    def _count(self) -> int:
        return sum(1 for _ in self._leaves())

    def _keeps_records(self) -> bool:
        """Whether each result keeps its record: it need not be read again, but takes several hundred bytes."""
        is_small = next(islice(self._leaves(), KEPT_RECORDS, None), None) is None
        return is_small or not self.backend.capabilities.persistent

    def _known(self) -> Iterator[tuple[AsyncResult[Any], ResultRecord]]:
        """Records at hand."""
        for result in self._leaves():
            record = result.known_record()
            if record is not None:
                yield result, record

    def _arrivals(
        self, timeout: float | None, interval: float, on_interval: Any
    ) -> Generator[tuple[AsyncResult[Any], ResultRecord]]:
        """Records in order of arrival; those at hand come first."""
        check_timeout(timeout)
        waiting = self._unknown()
        yield from self._known()
        deadline = None if timeout is None else time.monotonic() + timeout
        while waiting:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            wait = left if on_interval is None else interval if left is None else min(interval, left)
            try:
                for record in self.backend.watch(list(waiting), timeout=wait):
                    yield waiting.pop(record.task_id), record
            except TimeoutError:
                if on_interval is None or (deadline is not None and time.monotonic() >= deadline):
                    raise TimeoutError(
                        f"{len(waiting)} of {self._count()} results were not ready after {timeout} s, "
                        f"that of task {next(iter(waiting))} among them"
                    ) from None
                on_interval()

    async def _async_arrivals(self, timeout: float | None) -> AsyncGenerator[tuple[AsyncResult[Any], ResultRecord]]:
        """As `_arrivals`; the results of a set that is not too large for it keep their records."""
        # See there why so late.
        from celeriac.result.awaiting import Arrivals

        check_timeout(timeout)
        waiting = self._unknown()
        for pair in self._known():
            yield pair
        if not waiting:
            return
        with Arrivals(self.backend, waiting, timeout, keep=self._keeps_records()) as arrivals:
            while waiting:
                for record in await arrivals.next():
                    yield waiting.pop(record.task_id), record


class _Values:
    """What has arrived of a set."""

    def __init__(
        self,
        app: AppLike,
        propagate: bool,
        callback: Callable[[str, Any], object] | None,
        on_message: Callable[[dict[str, Any]], object] | None,
    ) -> None:
        self._app = app
        self.by_id: dict[str, Any] = {}
        self._propagate = propagate
        self._callback = callback
        self._on_message = on_message

    def take(self, task_id: str, record: ResultRecord) -> None:
        """Take one in, or raise its exception."""
        if self._on_message is not None:
            self._on_message(as_meta(record))
        if self._propagate and record.status in states.PROPAGATE_STATES:
            raise exception_of(record, self._app)
        if self._callback is not None:
            self._callback(task_id, record.result)
        else:
            self.by_id[task_id] = record.result


def known(results: Iterable[AsyncResult[Any]], wanted: Collection[str]) -> Iterator[bool]:
    """Of each result, whether its state is one of these as far as is known without asking the store."""
    for each in results:
        record = each.known_record()
        yield record is not None and record.status in wanted
