"""`BaseBackend`: what a store that is written for Celery inherits, calls and overrides."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from celeriac import states
from celeriac.app.backend_calls.pending import PendingCalls
from celeriac.compat.backends.port import Port
from celeriac.current import get_current_request
from celeriac.exceptions import BackendGetMetaError, BackendStoreError, ChordError, TaskRevokedError, TimeoutError
from celeriac.result import GroupResult, result_from_tuple
from celeriac.result.waiting import wait_for
from celeriac.serialization.einfo import ExceptionInfo

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BaseBackend", "SyncBackendMixin"]


class SyncBackendMixin(PendingCalls):
    """Waiting by looking again and again."""

    is_async = False

    def wait_for(
        self: Any, task_id: str, timeout: float | None = None, interval: float = 0.5, no_ack: bool = True,
        on_interval: Callable[[], object] | None = None,
    ) -> Any:  # fmt: skip
        """Wait for the end of a task; returns what is stored then.

        Raises:
            TimeoutError: It has not ended in time.
        """
        wait_for(self, task_id, timeout, interval, on_interval)
        return self.get_task_meta(task_id)

    def add_pending_result(self, result: Any, weak: bool = False) -> Any:
        """Nothing is subscribed to; returns the result."""
        return result

    def remove_pending_result(self, result: Any) -> Any:
        """Nothing stays subscribed to; returns the result."""
        return result


class BaseBackend(SyncBackendMixin, Port):
    """A store of one's own, as written for Celery.

    A subclass has `_store_result`, `_get_task_meta_for` and `_forget`, for groups `_save_group`, `_restore_group` and
    `_delete_group`, and for what expires `cleanup`.
    """

    TimeoutError: ClassVar[Any] = TimeoutError
    supports_native_join = False
    retry_policy: ClassVar[Any] = {"max_retries": 20, "interval_start": 0, "interval_step": 1, "interval_max": 1}

    # -- for subclasses ----------------------------------------------------------------------------------------------

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _store_result()")

    def _get_task_meta_for(self, task_id: str) -> Any:
        """What is stored, with the status PENDING where there is nothing; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _get_task_meta_for()")

    def _forget(self, task_id: str) -> None:
        """Delete; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _forget()")

    def _save_group(self, group_id: str, result: Any) -> Any:
        """Store a GroupResult; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _save_group()")

    def _restore_group(self, group_id: str) -> Any:
        """A group as ``{"result": GroupResult}``, or None; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _restore_group()")

    def _delete_group(self, group_id: str) -> None:
        """Delete a group; for subclasses."""
        raise NotImplementedError(f"{type(self).__name__} has to define _delete_group()")

    def cleanup(self) -> Any:
        """Delete what has expired; for subclasses of stores that do not do it by themselves."""

    def process_cleanup(self) -> None:
        """Let go of connections; for subclasses."""

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether to try again after an exception, with ``result_backend_always_retry``; for subclasses."""
        return False

    def on_backend_retryable_error(self, exc: BaseException) -> None:
        """Called before the next attempt; for subclasses."""

    # -- storing -----------------------------------------------------------------------------------------------------

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any
    ) -> Any:
        """Store the state of a task; returns the result as it is stored.

        Args:
            task_id: The task.
            result: Its value, or its exception.
            state: Its state.
            traceback: Text of the traceback.
            request: Of the task.
            **kwargs: For `_store_result`.
        """
        encoded = self.encode_result(result, state)
        self._patiently(
            lambda: self._store_result(task_id, encoded, state, traceback, request=request, **kwargs),
            lambda: BackendStoreError("failed to store result on the backend", task_id=task_id, state=state),
        )
        return encoded

    def _patiently(self, operation: Callable[[], Any], refusal: Callable[[], Exception]) -> Any:
        """Do something, again where `exception_safe_to_retry` says so and ``result_backend_always_retry`` is on."""
        retries = 0
        while True:
            try:
                return operation()
            except Exception as exc:
                if not self.always_retry or not self.exception_safe_to_retry(exc):
                    raise
                if self.max_retries is not None and retries >= self.max_retries:
                    raise refusal() from exc
                self.on_backend_retryable_error(exc)
                time.sleep(min(0.01 * 2**retries, 10.0))
                retries += 1

    def mark_as_started(self, task_id: str, **meta: Any) -> Any:
        """Store that a task has begun, with this as its result."""
        return self.store_result(task_id, meta, states.STARTED)

    def mark_as_done(
        self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS
    ) -> None:
        """Store that a task has succeeded."""
        if store_result and not _is_ignored(request):
            self.store_result(task_id, result, state, request=request)
        if request is not None and request.chord:
            self.on_chord_part_return(request, state, result)

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Store that a task has failed, and call its errbacks."""
        if store_result:
            self.store_result(task_id, exc, state, traceback=traceback, request=request)
        if request is None:
            return
        if request.chord:
            self.on_chord_part_return(request, state, exc)
        if call_errbacks and request.errbacks:
            from celeriac.execution.follow_up import publish_errbacks

            publish_errbacks(self.app, request, exc, traceback)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Any = None, store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:  # fmt: skip
        """Store that a task will not run."""
        exc = TaskRevokedError(reason)
        if store_result:
            self.store_result(task_id, exc, state, traceback=None, request=request)
        if request is not None and request.chord:
            self.on_chord_part_return(request, state, exc)

    def mark_as_retry(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Any = None, store_result: bool = True,
        state: str = states.RETRY,
    ) -> Any:  # fmt: skip
        """Store that a task will run again, and why."""
        if not store_result:
            return exc
        return self.store_result(task_id, exc, state, traceback=traceback, request=request)

    def fail_from_current_stack(self, task_id: str, exc: BaseException | None = None) -> ExceptionInfo:
        """Store that a task has failed with the exception that is being handled."""
        info = ExceptionInfo() if exc is None else ExceptionInfo.from_exception(exc)
        self.mark_as_failure(task_id, info.exception, info.traceback)
        return info

    def chord_error_from_stack(self, callback: Any, exc: BaseException | None = None) -> ExceptionInfo:
        """Store that the body of a chord has failed with an exception, or with the one that is being handled."""
        return self.fail_from_current_stack(callback.id or callback.freeze().id, exc or ChordError("chord failed"))

    # -- reading -----------------------------------------------------------------------------------------------------

    def get_task_meta(self, task_id: str, cache: bool = True) -> Any:
        """What is stored about a task; ``cache`` has no effect: nothing is kept in memory."""
        return self._patiently(
            lambda: self._get_task_meta_for(task_id),
            lambda: BackendGetMetaError("failed to get meta", task_id=task_id),
        )

    def task_result_exists(self, task_id: str) -> bool:
        """Whether anything is stored about a task."""
        return bool(self.get_task_meta(task_id)["status"] != states.PENDING)

    def reload_task_result(self, task_id: str) -> None:
        """Make sure that the next read is from the store, as each is; raises what reading raises."""
        self.get_task_meta(task_id)

    def is_cached(self, task_id: str) -> bool:
        """False: nothing is kept in memory."""
        return False

    def get_state(self, task_id: str) -> str:
        """State of a task; PENDING when nothing is known."""
        return str(self.get_task_meta(task_id)["status"])

    get_status = get_state

    def get_result(self, task_id: str) -> Any:
        """Value of a task, or its exception."""
        return self.get_task_meta(task_id).get("result")

    def get_traceback(self, task_id: str) -> Any:
        """Text of the traceback of a failed task."""
        return self.get_task_meta(task_id).get("traceback")

    def get_children(self, task_id: str) -> Any:
        """Results of the tasks that a task started."""
        return self.get_task_meta(task_id).get("children")

    def forget(self, task_id: str) -> None:
        """Delete what is stored about a task."""
        self._forget(task_id)

    # -- groups and chords -------------------------------------------------------------------------------------------

    def save_group(self, group_id: str, result: Any) -> Any:
        """Store a GroupResult, or the tuple form of one."""
        return self._save_group(group_id, result_from_tuple(result, self.app) if _is_form(result) else result)

    def restore_group(self, group_id: str, cache: bool = True) -> GroupResult | None:
        """A saved group, or None; ``cache`` has no effect."""
        meta = self.get_group_meta(group_id)
        return None if meta is None else meta["result"]

    def get_group_meta(self, group_id: str, cache: bool = True) -> Any:
        """A saved group as ``{"result": GroupResult}``, or None; ``cache`` has no effect."""
        return self._restore_group(group_id)

    def reload_group_result(self, group_id: str) -> None:
        """Make sure that the next read is from the store, as each is."""
        self.get_group_meta(group_id)

    def delete_group(self, group_id: str) -> None:
        """Delete a saved group."""
        self._delete_group(group_id)

    def ensure_chords_allowed(self) -> None:
        """Chords are refused when they are sent."""

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """For subclasses that count."""

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """For subclasses whose chords grow."""
        raise NotImplementedError(f"Backend {type(self).__name__} does not support add_to_chord")

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """For subclasses that count."""

    def apply_chord(self, header_result_args: Any, body: Any, **kwargs: Any) -> None:
        """Have a task look for the results of a header until they are there, and send the body then."""
        self.fallback_chord_unlock(self.app.GroupResult(*header_result_args), body, **kwargs)

    def fallback_chord_unlock(self, header_result: Any, body: Any, countdown: float = 1.0, **kwargs: Any) -> None:
        """Send the task that looks for the results of a header."""
        told = {"result": [each.as_tuple() for each in header_result], **kwargs}
        self.app.tasks["celery.chord_unlock"].apply_async((header_result.id, body), told, countdown=countdown)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def on_task_call(self, producer: Any, task_id: str) -> Any:
        """Options that a task is sent with."""
        return {}

    def current_task_children(self, request: Any = None) -> Any:
        """Stored form of the results of the tasks that a request started; None is the running one."""
        request = request or get_current_request()
        children = getattr(request, "children", None)
        return None if children is None else [each.as_tuple() for each in children]

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> tuple[Any, ...]:
        from celeriac.compat.backends import unpickle_backend

        given = {"serializer": self.serializer, "expires": self.expires, **(kwargs or {})}
        return unpickle_backend, (type(self), args, given)


def _is_form(result: Any) -> bool:
    return isinstance(result, list | tuple)


def _is_ignored(request: Any) -> bool:
    return bool(getattr(request, "ignore_result", False))
