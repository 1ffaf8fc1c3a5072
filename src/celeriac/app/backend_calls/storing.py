"""Ends of tasks, stored by others than workers, with what they mean to workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celeriac import states
from celeriac.app.backend_calls.base import Calls
from celeriac.backend.from_request import record_of
from celeriac.current import Context
from celeriac.exceptions import TaskRevokedError
from celeriac.execution import chords, follow_up
from celeriac.serialization.einfo import ExceptionInfo

if TYPE_CHECKING:
    from celeriac.backend.base import ResultRecord


class StoringCalls(Calls):
    """Storing of states."""

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Context | None = None,
        **kwargs: Any,
    ) -> Any:  # fmt: skip
        """Store the state of a task; a stored SUCCESS stays.

        Args:
            task_id: The task.
            result: Its value, or its exception.
            state: Its state.
            traceback: Text of the traceback, or something that is one as text.
            request: Of the task: its group, parent and children are stored too.
            **kwargs: Not supported; must be empty.

        Returns:
            The result.
        """
        if kwargs:
            raise TypeError(f"store_result() got unexpected keyword arguments {sorted(kwargs)}")
        self._backend.store_many([self._record(task_id, result, state, traceback, request)])
        return result

    def mark_as_started(self, task_id: str, **meta: Any) -> Any:
        """Store that a task has begun, with this as its result."""
        return self.store_result(task_id, meta, states.STARTED)

    def mark_as_done(
        self, task_id: str, result: Any, request: Context | None = None, store_result: bool = True,
        state: str = states.SUCCESS,
    ) -> None:  # fmt: skip
        """Store that a task has succeeded, and count it in its chord.

        Args:
            task_id: The task.
            result: Its value.
            request: Of the task; None is in no chord.
            store_result: Store it.
            state: Its state.
        """
        self._ended(self._record(task_id, result, state, None, request), request, store_result)

    def mark_as_failure(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Context | None = None,
        store_result: bool = True, call_errbacks: bool = True, state: str = states.FAILURE,
    ) -> None:  # fmt: skip
        """Store that a task has failed, and let what depends on it fail.

        Args:
            task_id: The task.
            exc: Its exception.
            traceback: Text of the traceback.
            request: Of the task; None is in no workflow.
            store_result: Store it.
            call_errbacks: Call the errbacks of the request.
            state: Its state.
        """
        record = self._record(task_id, exc, state, traceback, request)
        self._ended(record, request, store_result)
        if request is not None and call_errbacks:
            follow_up.publish_errbacks(self._app, request, exc, record.traceback)

    def mark_as_revoked(
        self, task_id: str, reason: str = "", request: Context | None = None, store_result: bool = True,
        state: str = states.REVOKED,
    ) -> None:  # fmt: skip
        """Store that a task will not run, and let what depends on it fail.

        Args:
            task_id: The task.
            reason: Why, for the `TaskRevokedError` that is its result.
            request: Of the task; None is in no workflow.
            store_result: Store it.
            state: Its state.
        """
        self._ended(self._record(task_id, TaskRevokedError(reason), state, None, request), request, store_result)

    def mark_as_retry(
        self, task_id: str, exc: BaseException, traceback: Any = None, request: Context | None = None,
        store_result: bool = True, state: str = states.RETRY,
    ) -> Any:  # fmt: skip
        """Store that a task will run again, and why; nothing is sent.

        Args:
            task_id: The task.
            exc: Why.
            traceback: Text of the traceback.
            request: Of the task.
            store_result: Store it.
            state: Its state.
        """
        return self.store_result(task_id, exc, state, traceback, request) if store_result else exc

    def fail_from_current_stack(self, task_id: str, exc: BaseException | None = None) -> ExceptionInfo:
        """Store that a task has failed with the exception that is being handled.

        Args:
            task_id: The task.
            exc: Its exception; None is the one that is being handled.

        Returns:
            What is known about the exception.
        """
        einfo = ExceptionInfo() if exc is None else ExceptionInfo.from_exception(exc)
        self.mark_as_failure(task_id, einfo.exception, einfo.traceback)
        return einfo

    def _record(self, task_id: str, result: Any, state: str, traceback: Any, request: Context | None) -> ResultRecord:
        text = None if traceback is None else str(traceback)
        extended = request is not None and bool(self._app.conf.result_extended)
        record = record_of(request or Context(), task_id, state, result, text, extended=extended)
        if request is None:
            record.children = None
        return record

    def _ended(self, record: ResultRecord, request: Context | None, store_result: bool) -> None:
        """Store a record, those of the steps after it if it failed, and count all in their chords."""
        records, parts = [record] if store_result else [], []
        if request is not None:
            if record.status != states.SUCCESS and request.chain:
                rest = self._app, request.chain, record.result, record.traceback
                records = [*follow_up.failed_rest(*rest), *records]
                parts = chords.ended_rest(*rest, request.root_id)
            if (part := chords.ended_part(self._app, request, record)) is not None:
                parts.append(part)
        if records:
            self._backend.store_many(records)
        chords.record_parts(parts)
