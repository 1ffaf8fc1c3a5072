"""Results of several tasks: `ResultSet`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from celeriac import states
from celeriac.current import get_current_app
from celeriac.exceptions import ImproperlyConfigured, TimeoutError
from celeriac.result.base import ResultBase
from celeriac.result.eager_result import EagerResult
from celeriac.result.joining import assert_will_not_block
from celeriac.result.waiting import as_meta, exception_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from celeriac.backend.base import ResultBackend, ResultRecord
    from celeriac.current import AppLike
    from celeriac.result.async_result import AsyncResult


class ResultSet(ResultBase):
    """Results of several tasks.

    Args:
        results: The results.
        app: The app; None is the current one.

    Attributes:
        results: The results, in order.
    """

    #: Set by the classes that apps make of this one.
    _app: AppLike | None = None

    def __init__(self, results: Iterable[Any], app: AppLike | None = None, **kwargs: Any) -> None:
        if kwargs.pop("ready_barrier", None) is not None or kwargs:
            raise TypeError(f"ResultSet does not support {sorted(kwargs) or ['ready_barrier']}")
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
                on_message(as_meta(record))
            if propagate and record.status in states.PROPAGATE_STATES:
                raise exception_of(record)
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
            meta = as_meta(record)
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
